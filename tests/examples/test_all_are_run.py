"""Every example is run by a test that names it."""

from __future__ import annotations

import pytest

from tests.documented import ROOT

TESTS = [
    *(ROOT / "tests" / "examples").glob("test_own_*.py"),
    *(ROOT / "tests" / "system").rglob("test_*.py"),
]


@pytest.mark.parametrize("name", [path.name for path in (ROOT / "examples").glob("*.py")])
def test_a_test_runs_it(name: str) -> None:
    module = name.removesuffix(".py")
    as_run = (f'"examples/{name}"', f'"-m", "examples.{module}"')
    assert any(words in test.read_text() for test in TESTS for words in as_run)
