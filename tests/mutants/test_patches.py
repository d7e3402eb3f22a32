"""Faults on purpose can be made: each patch says what it is, and fits the code as it is now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.__main__ import FOLDER, ROOT, git, read


@pytest.mark.parametrize("patch", sorted(FOLDER.glob("*.patch")), ids=lambda patch: patch.stem)
def test_it_applies_and_its_tests_are_there(patch: Path) -> None:
    mutant = read(patch)
    applied = git("apply", "--check", patch)
    assert applied.returncode == 0, applied.stderr
    for test in mutant.tests:
        assert (ROOT / test.partition("::")[0]).is_file()
