"""A transaction that stays open is noticed; one that ends in time is not."""

from __future__ import annotations

from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from stream.telemetry.notices import Notices
from stream.workers.held_back import PATIENCE, HeldBack

SOURCE = TopicPartition("social.events", 3)


def test_a_transaction_that_stays_open_is_noticed_and_said_again() -> None:
    notices = Notices("tracker", "0", CollectorRegistry())
    held = HeldBack(notices)
    for second in range(int(PATIENCE) + 1):
        held.look(SOURCE, 100, 107, float(second))
    assert notices.due(all_of_them=True) == []
    held.look(SOURCE, 100, 112, PATIENCE + 1)
    [notice] = notices.due(all_of_them=True)
    assert (notice.kind, notice.partition, notice.offset) == ("open_transaction", 3, 100)
    assert "12 messages from offset 100 on wait for its end" in notice.message
    held.look(SOURCE, 100, 112, PATIENCE + 2)
    assert notices.due(all_of_them=True) == []
    held.look(SOURCE, 100, 113, 2 * PATIENCE + 2)
    assert [notice.count for notice in notices.due(all_of_them=True)] == [2]


def test_transactions_that_follow_one_another_are_not() -> None:
    notices = Notices("tracker", "0", CollectorRegistry())
    held = HeldBack(notices)
    for second in range(10 * int(PATIENCE)):
        stable = second // 50 * 10  # each is open for 50 s
        held.look(SOURCE, stable, stable + (0 if second % 50 == 49 else 8), float(second))
    assert notices.due(all_of_them=True) == []
