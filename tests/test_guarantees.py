"""The guarantees and the threat model name tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PAGES = (ROOT / "docs" / "guarantees.md", ROOT / "SECURITY.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    file, named = "", 0
    for path, test in re.findall(r"`([\w/]*(?:\.py)?)::(test_\w+)`", page.read_text()):
        file = path or file
        source = (TESTS / file).read_text()
        assert re.search(rf"^(?:async )?def {test}\(", source, re.MULTILINE), f"{file}::{test}"
        named += 1
    assert named > 25
    whole = re.findall(r"`([\w/]+/test_\w+\.py)`", page.read_text())
    assert [path for path in whole if not (TESTS / path).exists()] == []
