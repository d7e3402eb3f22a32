"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# A first call may compile a kernel, which takes seconds.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The development data beside the checkout; a test that needs it skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the development data is not beside the checkout: no folder {DATA}")
    return DATA
