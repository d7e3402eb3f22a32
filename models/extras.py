"""What is installed beside the core, and what says so where it is missing.

MissingExtraError(TidecastError, ImportError)    names the extra that has what is needed
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from topics.errors import TidecastError

# The extra of pyproject.toml that has a package.
_EXTRAS = {"lightgbm": "train", "matplotlib": "train", "torch": "train", "torchdiffeq": "train"}


class MissingExtraError(TidecastError, ImportError):
    """Something is asked for that the core does not have."""


@contextmanager
def needed(why: str) -> Iterator[None]:
    """What is imported inside may be of an extra.

    Args:
        why: what needs it, as the beginning of a sentence.

    Raises:
        MissingExtraError: in the place of a package of an extra that is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        raise MissingExtraError(
            f"{why}, and {package} is not installed: pip install 'tidecast[{_EXTRAS[package]}]'"
        ) from error
