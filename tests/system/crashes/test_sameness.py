"""The judge of crash tests: what it has to notice, on records made for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord

from tests.stream.gateway.conftest import decision, epoch, forecast, outcome
from tests.system.crashes.sameness import accounts, differences, out_of_order
from tests.system.crashes.sent_log import SentLog, simulated
from topics.catalogue import (
    CACHE_DECISIONS,
    CASCADE_OUTCOMES,
    CATALOGUE,
    EDGE_WINDOWS,
    POPULARITY_FORECASTS,
    Topic,
)
from topics.records import EdgeWindow

Messages = Sequence[tuple[bytes, bytes | None]]


def held(**topics: Messages) -> dict[str, list[ConsumerRecord]]:
    """What a broker holds; topics with an underscore for their dot."""
    found: dict[str, list[ConsumerRecord]] = {name: [] for name in CATALOGUE}
    for name, messages in topics.items():
        topic = name.replace("_", ".")
        found[topic] = [
            ConsumerRecord(topic, 0, offset, 0, 0, key, value, None, 0, 0, ())
            for offset, (key, value) in enumerate(messages)
        ]
    return found


def said(topic: Topic, *records: Any) -> Messages:
    return [(record.cascade_id.encode(), topic.codec.encode(record)) for record in records]


def wrong(disturbed: Any, plain: Any) -> set[str]:
    return {kind for kind, told in differences(disturbed, plain).items() if told}


def test_repeats_are_the_same_and_a_clock_may_differ() -> None:
    first = forecast("a")
    later = msgspec.structs.replace(first, produced_at=first.produced_at + 5)
    plain = held(popularity_forecasts=said(POPULARITY_FORECASTS, first))
    again = held(popularity_forecasts=said(POPULARITY_FORECASTS, later, first, later))
    assert wrong(again, plain) == set()


@pytest.mark.parametrize("change", [{"observed_count": 7}, {"viral_probability": 0.123}])
def test_a_repeat_that_contradicts_is_noticed(change: dict[str, Any]) -> None:
    first = forecast("a")
    other = msgspec.structs.replace(first, **change)
    plain = held(popularity_forecasts=said(POPULARITY_FORECASTS, first))
    assert wrong(held(popularity_forecasts=said(POPULARITY_FORECASTS, first, other)), plain)
    assert wrong(held(popularity_forecasts=said(POPULARITY_FORECASTS, other)), plain)


def test_what_is_missing_or_too_much_is_noticed() -> None:
    plain = held(cascade_outcomes=said(CASCADE_OUTCOMES, outcome("a"), outcome("b")))
    less = held(cascade_outcomes=said(CASCADE_OUTCOMES, outcome("a")))
    assert wrong(less, plain) == wrong(plain, less) == {"outcome"}


def test_an_old_forecast_that_stays_is_noticed() -> None:
    old, new = forecast("a"), msgspec.structs.replace(forecast("a"), forecast_id="newer")
    plain = held(popularity_forecasts=said(POPULARITY_FORECASTS, old, new))
    repeated = held(popularity_forecasts=said(POPULARITY_FORECASTS, old, new, old, new))
    overwritten = held(popularity_forecasts=said(POPULARITY_FORECASTS, old, new, old))
    assert wrong(repeated, plain) == set()
    assert wrong(overwritten, plain) == {"latest forecast"}


def test_what_is_said_of_an_edge_goes_back_but_leaves_nothing_out() -> None:
    whole = [(key, None) for key in (b"1", b"2", b"3", b"4")]
    one, two, three, four = whole
    assert out_of_order([one, two, one, two, three, two, three, four], whole) == []
    assert out_of_order([one, three, two, four], whole)
    assert out_of_order([one, two, three], whole)
    assert out_of_order([one, two, three, four, (b"5", None)], whole)


def test_a_decision_that_an_old_one_replaces_is_noticed() -> None:
    encode = CACHE_DECISIONS.codec.encode
    made, closing = decision("/x"), epoch()
    key, close = msgspec.json.encode([made.edge_id, "/x"]), msgspec.json.encode([made.edge_id])
    plain = held(cache_decisions=[(key, encode(made)), (close, encode(closing)), (key, None)])
    later = msgspec.structs.replace(closing, produced_at=1.0)
    back = [(key, encode(made)), (close, encode(later)), (key, None), (key, encode(made))]
    assert wrong(held(cache_decisions=back), plain) == {"decision"}
    assert wrong(held(cache_decisions=[*back, (close, encode(closing)), (key, None)]), plain) == (
        set()
    )


def window(requests: int) -> EdgeWindow:
    order = bytes(4 * requests)
    return EdgeWindow("edge-0", 0.0, 60.0, 0, 1, ["x"], b"", b"", order)


def test_an_account_is_closed_only_if_every_message_is_in_it_once() -> None:
    log = SentLog(simulated(1), seed=1)
    taken = list(log.take(2_000))
    assert log.sent.total() == len(taken)
    assert log.repeats > 0 and log.bad["social.events"] > 0 and log.bad["edge.requests"] > 0
    good = {name: log.sent[name] - log.bad[name] for name in log.sent}
    bad = {name: log.bad[name] for name in log.sent}

    def told(events: int, requests: int) -> set[str]:
        """The topics whose account is closed, of an edge and a cascade of so many."""
        final = msgspec.structs.replace(outcome("a"), count=events, final=True)
        asked = EdgeWindow("edge-0", 0.0, 60.0, 0, 1, ["x"], b"", b"", bytes(4 * requests))
        found = held(
            cascade_outcomes=said(CASCADE_OUTCOMES, outcome("a"), final, final),
            edge_windows=[(b"edge-0", EDGE_WINDOWS.codec.encode(asked))] * 2,
        )
        found["dead.letters"] = [
            letter(name, offset) for name, count in bad.items() for offset in range(count)
        ] * 2
        return {name for name, account in accounts(log, found).items() if account.closed}

    events, requests = good["social.events"] - log.repeats, good["edge.requests"]
    assert told(events, requests) == set(good)
    assert told(events - 1, requests + 1) == set()


def letter(topic: str, offset: int) -> ConsumerRecord:
    headers = {"topic": topic, "partition": "0", "offset": str(offset), "timestamp": "0"}
    encoded = tuple((name, text.encode()) for name, text in headers.items())
    return ConsumerRecord("dead.letters", 0, 0, 0, 0, b"", b"", None, 0, 0, encoded)
