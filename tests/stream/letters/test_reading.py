"""Dead letters read, grouped and shown, without Kafka."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from stream.letters.reading import (
    MAX_GROUPS,
    OTHERS,
    Group,
    Groups,
    Letter,
    general,
    printable,
    shown,
)
from stream.workers.publishing.output import REDRIVEN, REDRIVEN_FROM, dead_letter
from topics.catalogue import DEAD_LETTERS, SOCIAL_EVENTS


def source(
    value: bytes | None = b"{}", headers: tuple[tuple[str, bytes], ...] = ()
) -> ConsumerRecord:
    return ConsumerRecord(
        SOCIAL_EVENTS.name, 3, 70, 1_700_000_000_500, 0, b"key", value, None, 3, 2, headers
    )


def letter_of(
    record: ConsumerRecord,
    error: str = "DecodeError",
    message: str = "it is wrong",
    offset: int = 5,
    role: str = "tracker",
) -> Letter:
    """The letter that a role writes about a record."""
    written = dead_letter(record, role, error, message)
    return Letter(
        ConsumerRecord(
            DEAD_LETTERS.name, 1, offset, written.timestamp_ms, 0, written.key, written.value,
            None, 3, 2, written.headers,
        )
    )  # fmt: skip


def bare(headers: Mapping[str, bytes]) -> Letter:
    """A letter that somebody else wrote."""
    return Letter(
        ConsumerRecord(
            DEAD_LETTERS.name, 0, 0, -1, 0, None, None, None, 0, 0, tuple(headers.items())
        )
    )


def test_a_letter_says_what_its_role_wrote() -> None:
    letter = letter_of(source())
    assert letter.place == (1, 5)
    assert (letter.topic, letter.partition, letter.role) == ("social.events", 3, "tracker")
    assert (letter.error, letter.reason) == ("DecodeError", "it is wrong")
    assert letter.timestamp == 1_700_000_000.5
    assert letter.redriven == 0


def test_marks_of_what_was_sent_back_are_kept_when_it_fails_again() -> None:
    marks = ((REDRIVEN, b"2"), (REDRIVEN_FROM, b"0/9"))
    again = letter_of(source(headers=(*marks, ("trace", b"x"))))
    assert again.redriven == 2
    assert again.headers[REDRIVEN_FROM] == "0/9"
    assert "trace" not in again.headers
    huge = letter_of(source(headers=((REDRIVEN, b"1" * 10_000),)))
    assert huge.redriven == 0


@pytest.mark.parametrize("mark", [b"", b"0", b"-1", b"two", b"\xff", b"99999"])
def test_a_mark_that_is_none_of_ours_still_tells_it_from_a_new_one(mark: bytes) -> None:
    assert bare({REDRIVEN: mark}).redriven == 1


@given(st.dictionaries(st.text(max_size=12), st.binary(max_size=40), max_size=8))
def test_no_header_can_make_a_letter_unreadable(headers: dict[str, bytes]) -> None:
    letter = bare(headers)
    groups = Groups()
    groups.add(letter)
    (group,) = groups.listed()
    assert group.count == 1
    assert letter.partition >= 0 and letter.redriven >= 0


def test_like_reasons_are_the_same() -> None:
    assert general("timestamp 1.5e9 is later (17) of 'a b' - at `$.timestamp`") == (
        "timestamp # is later (#) of '…' - at `$.timestamp`"
    )
    assert general("Invalid enum value 'like'") == general("Invalid enum value 'love'")
    assert len(general("x" * 10_000)) < 250


def test_groups_count_by_error_reason_role_and_topic() -> None:
    groups = Groups(redriven={(1, 2)})
    marked = source(headers=((REDRIVEN, b"1"),))
    for letter in (
        letter_of(source(), message="at byte 1", offset=1),
        letter_of(source(), message="at byte 2", offset=2),
        letter_of(marked, message="at byte 3", offset=3),
        letter_of(source(), error="OversizedError", message="at byte 4", offset=4),
        letter_of(source(), message="at byte 5", offset=5, role="historian"),
        letter_of(source(), message="null", offset=6),
    ):
        groups.add(letter)
    first, *others = groups.listed()
    assert first == Group(
        "DecodeError", "at byte #", "tracker", "social.events", 1_700_000_000.5, 1_700_000_000.5,
        (1, 3), "at byte 3", count=3, came_back=1, redriven=1,
    )  # fmt: skip
    assert sorted((g.error, g.role, g.reason, g.count) for g in others) == [
        ("DecodeError", "historian", "at byte #", 1),
        ("DecodeError", "tracker", "null", 1),
        ("OversizedError", "tracker", "at byte #", 1),
    ]


def test_groups_are_bounded_and_count_everything() -> None:
    groups = Groups()
    names = [chr(0x4E00 + i) for i in range(MAX_GROUPS + 7)]
    for name in names:
        groups.add(letter_of(source(), message=name))
    listed = groups.listed()
    assert len(listed) == MAX_GROUPS + 1
    assert sum(group.count for group in listed) == len(names)
    assert (listed[0].reason, listed[0].count) == (OTHERS, 7)


@given(st.text(max_size=50))
def test_nothing_that_is_printed_can_act_on_a_terminal(text: str) -> None:
    assert printable(text).isprintable()


@given(st.binary(max_size=200), st.integers(1, 100))
def test_any_value_is_shown_bounded_and_harmless(data: bytes, limit: int) -> None:
    out = shown(data, limit)
    assert all(c.isprintable() or c in "\n\t" for c in out)
    assert (f"{len(data) - limit:,} bytes more" in out) == (len(data) > limit)


def test_text_is_shown_as_text_and_bytes_in_hex() -> None:
    assert shown('{"user": "Zoë"}'.encode(), 100) == '{"user": "Zoë"}'
    assert shown("Zoë".encode(), 3) == "Zo\n… and 1 bytes more"
    assert shown(b"\x1b[2Jhi", 100) == r"\x1b[2Jhi"
    assert shown(b"\xff\x00 what", 100) == f"00000000  {'ff 00 20 77 68 61 74':<47}  .. what"
