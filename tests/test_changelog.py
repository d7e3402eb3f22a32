"""CHANGELOG.md: as Keep a Changelog has it, and it tells of the contract as it is now."""

from __future__ import annotations

import copy
import re
import tomllib

import pytest

from stream.settings import Settings
from tests.documented import ROOT
from topics import contract

TEXT = (ROOT / "CHANGELOG.md").read_text()
KINDS = ["Contract", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def versions(text: str) -> list[tuple[str, str]]:
    """Each version's heading and what stands under it, in the order of the file."""
    parts = re.split(r"^## (.+)\n", text, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def told_state(text: str) -> str | None:
    """The state of the contract that the newest entry about it names."""
    for _, entry in versions(text):
        if found := re.search(r"^### Contract\n\nState ([0-9a-f]{12})\.$", entry, re.M):
            return found[1]
    return None


def assert_told(text: str, documents: dict[str, contract.Document]) -> None:
    """The changelog's newest entry about the contract is about these documents."""
    state = contract.digest(documents)
    assert told_state(text) == state, (
        f"the contract is {state} now; say under '### Contract' of the newest version in "
        f"CHANGELOG.md what has changed for who writes or reads topics, after 'State {state}.'"
    )


def test_versions_are_headings_the_newest_first() -> None:
    names = [name for name, _ in versions(TEXT)]
    released = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - \d{4}-\d\d-\d\d", name) for name in names]
    assert all(released[1:]) and (released[0] or names[0] == "Unreleased")
    numbers = [tuple(map(int, found.groups())) for found in released if found]
    assert numbers == sorted(numbers, reverse=True)
    if released[0]:
        assert names[0].startswith(f"{VERSION} - ")


@pytest.mark.parametrize(("name", "entry"), versions(TEXT))
def test_changes_stand_under_their_kind(name: str, entry: str) -> None:
    found = re.findall(r"^### (.+)$", entry, re.M)
    assert found == [kind for kind in KINDS if kind in found]


def test_the_newest_entry_is_about_the_contract_as_it_is() -> None:
    assert_told(TEXT, contract.documents(Settings().partitions))


def test_a_changed_contract_without_an_entry_is_noticed() -> None:
    changed = copy.deepcopy(contract.documents(Settings().partitions))
    changed["schemas/SocialEvent.json"]["properties"]["mood"] = {"type": "string"}
    with pytest.raises(AssertionError, match="say under '### Contract'"):
        assert_told(TEXT, changed)


def test_a_release_alone_is_no_change_of_the_contract() -> None:
    released = copy.deepcopy(contract.documents(Settings().partitions))
    released[contract.ASYNCAPI]["info"]["version"] = "99.0"
    assert_told(TEXT, released)
