"""What a role notices: told at once, counted, and published seldom and by the way."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from prometheus_client import CollectorRegistry

from stream.telemetry import notices as noticing
from stream.telemetry.notices import KINDS, NoticeError, Notices
from topics.catalogue import ROLE_NOTICES
from topics.records import RoleNotice

RUNBOOK = Path(__file__).resolve().parents[3] / "docs" / "runbooks" / "noticed.md"


class Producer:
    """Keeps what it is given, after it has refused so many."""

    def __init__(self, refuses: int = 0) -> None:
        self.refuses = refuses
        self.taken: list[tuple[bytes, RoleNotice]] = []
        self.took = asyncio.Event()

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
        assert topic == ROLE_NOTICES.name
        if self.refuses:
            self.refuses -= 1
            raise KafkaTimeoutError
        self.taken.append((key, ROLE_NOTICES.codec.decode(value)))
        self.took.set()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def notices(registry: CollectorRegistry) -> Notices:
    return Notices("tracker", "7", registry)


def counted(registry: CollectorRegistry, kind: str, partition: int) -> float | None:
    labels = {
        "role": "tracker", "kind": kind, "topic": "social.events", "partition": str(partition),
    }  # fmt: skip
    return registry.get_sample_value("tidecast_noticed_total", labels)


def test_a_key_has_one_notice_that_counts_and_tells_the_latest(
    notices: Notices, registry: CollectorRegistry
) -> None:
    notices.note("no_key", "social.events", 3, "two", count=2, offset=17)
    notices.note("no_key", "social.events", 3, "five more", count=5, offset=40)
    notices.note("no_key", "social.events", 1, "elsewhere")
    third, first = notices.due()
    assert (third.role, third.instance, third.kind) == ("tracker", "7", "no_key")
    assert (third.topic, third.partition, third.offset) == ("social.events", 3, 40)
    assert (third.count, third.message) == (7, "five more")
    assert third.first_at <= third.last_at
    assert (first.partition, first.count, first.offset) == (1, 1, None)
    assert counted(registry, "no_key", 3) == 7
    assert counted(registry, "no_key", 1) == 1


def test_what_was_published_is_due_again_after_a_while_or_at_the_end(notices: Notices) -> None:
    notices.note("no_key", "social.events", 3, "once")
    assert len(notices.due()) == 1
    assert notices.due(all_of_them=True) == []
    notices.note("no_key", "social.events", 3, "again")
    assert notices.due() == []
    [notice] = notices.due(all_of_them=True)
    assert (notice.count, notice.message) == (2, "again")


def test_the_first_is_logged_with_what_to_do_and_the_next_is_not(
    notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            notices.note("no_key", "social.events", 3, "an event without a key")
        notices.note("foreign_key", "social.events", 3, "another kind")
    assert [record.getMessage() for record in caplog.records] == [
        f"social.events/3: an event without a key (1 so far). {KINDS['no_key'].to_do}",
        f"social.events/3: another kind (1 so far). {KINDS['foreign_key'].to_do}",
    ]


def test_an_unknown_kind_is_refused(notices: Notices) -> None:
    with pytest.raises(NoticeError, match="got the kind 'nonsense'; known are no_key"):
        notices.note("nonsense", "social.events", 0, "")


def test_each_kind_is_explained_on_the_page_of_its_alert() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", RUNBOOK.read_text(), re.MULTILINE))
    assert told == set(KINDS)


def test_a_message_is_as_long_as_its_record_allows(notices: Notices) -> None:
    notices.note("no_key", "social.events", 0, "long " * 1_000)
    [notice] = notices.due()
    assert ROLE_NOTICES.codec.decode(ROLE_NOTICES.codec.encode(notice)) == notice


async def test_a_notice_is_published_and_the_last_one_at_the_end(notices: Notices) -> None:
    producer: Any = Producer()
    notices.start(lambda: producer)
    notices.note("no_key", "social.events", 3, "first")
    await asyncio.wait_for(producer.took.wait(), 60)
    notices.note("no_key", "social.events", 3, "last")
    await notices.stop()
    assert [(key, notice.count) for key, notice in producer.taken] == [
        (b'["tracker","no_key","social.events",3]', 1),
        (b'["tracker","no_key","social.events",3]', 2),
    ]


async def test_what_was_not_taken_is_sent_again(
    notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noticing, "_PUBLISH_SECONDS", 0.0)
    monkeypatch.setattr(noticing, "_LOOK_SECONDS", 0.0)
    producer: Any = Producer(refuses=2)
    notices.note("no_key", "social.events", 3, "only")
    notices.start(lambda: producer)
    await asyncio.wait_for(producer.took.wait(), 60)
    await notices.stop()
    assert [notice.message for _, notice in producer.taken] == ["only"]


async def test_who_never_began_has_nothing_to_end(notices: Notices) -> None:
    notices.note("no_key", "social.events", 3, "before the broker was there")
    await notices.stop()
