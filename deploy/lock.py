"""Writes requirements.lock: the version of everything that the shipped package brings with it.

    make lock        python deploy/lock.py > requirements.lock

The versions are those installed here, with which the tests pass. It is a constraints file
(`pip install --constraint requirements.lock .`): torch and what torch brings are left out, for
which build of it, CPU or CUDA, is the user's choice.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
_FREE = {"torch"}
_EXTRAS = ("demo", "otel", "train")
_HEAD = """\
# What tidecast brings with it but torch, in the versions that were tested: written by `make lock`.
#   pip install --constraint requirements.lock .
"""


def direct() -> list[Requirement]:
    """What pyproject.toml asks for, with the extras that images and users install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for extra in _EXTRAS for text in project["optional-dependencies"][extra]]
    return [Requirement(text) for text in [*project["dependencies"], *extras]]


def closure() -> dict[str, str]:
    """The version installed here of each package that the direct ones need, by name.

    Raises:
        PackageNotFoundError: one is not installed; `make setup` does that.
    """
    found: dict[str, str] = {}
    waiting = [(requirement.name, requirement.extras) for requirement in direct()]
    while waiting:
        name, extras = waiting.pop()
        name = canonicalize_name(name)
        if name in found or name in _FREE:
            continue
        found[name] = distribution(name).version
        waiting += [(needed.name, needed.extras) for needed in needs(name, extras)]
    return dict(sorted(found.items()))


def needs(name: str, extras: set[str] | None = None) -> Iterator[Requirement]:
    """What the installed version of a package needs on this machine, with those of its extras."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        environments = [{**default_environment(), "extra": extra} for extra in (extras or {""})]
        if marker is None or any(marker.evaluate(one) for one in environments):
            yield requirement


def text() -> str:
    """The content of requirements.lock."""
    return _HEAD + "".join(f"{name}=={version}\n" for name, version in closure().items())


if __name__ == "__main__":
    try:
        print(text(), end="")
    except PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed here; run `make setup`") from None
