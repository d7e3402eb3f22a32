"""The table of guarantees names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "guarantees.md"


def test_every_test_that_is_named_exists() -> None:
    file, named = "", 0
    for path, test in re.findall(r"`([\w/]*(?:\.py)?)::(test_\w+)`", PAGE.read_text()):
        file = path or file
        source = (TESTS / file).read_text()
        assert re.search(rf"^(?:async )?def {test}\(", source, re.MULTILINE), f"{file}::{test}"
        named += 1
    assert named > 30
