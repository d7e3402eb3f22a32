"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The development data beside the checkout; a test that needs it skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the development data is not beside the checkout: no folder {DATA}")
    return DATA
