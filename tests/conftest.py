"""Fixtures that every room's tests share."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from models import registry

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# How long an example takes is the machine's matter, and a first call may compile a kernel.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options by which more is asked of the tests."""
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")
    parser.addoption(
        "--broker",
        choices=("embedded", "apache"),
        default="embedded",
        help="the broker of the tests marked system; apache needs Java and Maven",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Has the processes that tests start heed signals that a shell has this one ignore.

    `nohup` does so, and `&` in a script; what is ignored stays so in every process that is
    started, and some tests send these. A handler that does nothing does not.
    """
    if config.getoption("numprocesses", None):
        return  # its workers run the tests
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what takes minutes, and says so."""
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; runs with --long"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no text are called by their argument, and numbered: packed ones tell the time.

    An id that is another in each process is no name: workers of one run must collect the same.
    """
    return argname if isinstance(val, bytes) and not val.isascii() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The development data beside the checkout; a test that needs it skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the development data is not beside the checkout: no folder {DATA}")
    return DATA


@pytest.fixture(scope="session")
def copy_version() -> Callable[[Path, str, str], Path]:
    """Copies the first version that ships of a model into a registry, under another version."""

    def copy(root: Path, name: str, version: str) -> Path:
        folder = root / name / version
        shutil.copytree(registry.SHIPPED / name / "1", folder)
        card = registry.read_card(name, "1")
        registry.write_card(folder, msgspec.structs.replace(card, version=version))
        return folder

    return copy
