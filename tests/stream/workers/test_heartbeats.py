"""Heartbeats among records: they go on behind what came before them, and change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaTimeoutError
from prometheus_client import CollectorRegistry

from stream.checkpoints.recovery import Metrics as RecoveryMetrics
from stream.checkpoints.recovery import Point, Progress, Recovery
from stream.forecaster.batch import ForecastBatch
from stream.heart import role as heart
from stream.heart.role import Heart
from stream.historian.role import EdgePartition
from stream.ranker.batch import RankBatch
from stream.ranker.held import HeldPartitions
from stream.ranker.metrics import Metrics
from stream.scorer.role import ScoreBatch
from stream.serving.loading import load_known
from stream.serving.rankers import decayed
from stream.settings import Duration, Settings, load
from stream.tracker.role import TrackedPartition
from stream.workers import heartbeats
from stream.workers.agents import Received
from stream.workers.assignment import Partition
from stream.workers.handler import Metrics as IngestMetrics
from stream.workers.heartbeats import Passed
from stream.workers.publishing.output import Output
from tests.clock import Clock
from topics.catalogue import (
    CACHE_DECISIONS,
    CASCADE_OUTCOMES,
    CASCADE_SNAPSHOTS,
    EDGE_REQUESTS,
    EDGE_WINDOWS,
    FORECAST_SCORES,
    POPULARITY_FORECASTS,
    SOCIAL_EVENTS,
    Topic,
)
from topics.heartbeat import KEY, is_heartbeat
from topics.records import EdgeRequest, SocialEvent

QUICK = load(
    environment={}, growth_first=3, snapshot_ages="64", horizons="128,300", allowed_lateness="4",
    window="60", ranker="decayed", cache_objects=2, skip_after="0",
)  # fmt: skip
SENT = 20_000_000  # of heartbeats, milliseconds


def record(topic: Topic, value: bytes | None, timestamp: int, key: bytes = b"k") -> ConsumerRecord:
    return ConsumerRecord(topic.name, 1, 0, timestamp, 0, key, value, 0, 1, 1, ())


def logged(messages: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
    """As a partition holds them."""
    return [replace(message, offset=offset) for offset, message in enumerate(messages)]


def with_heartbeats(topic: Topic, messages: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
    """A heartbeat first, last, and after every third message."""
    mixed = [record(topic, None, SENT, KEY)]
    for number, message in enumerate(messages):
        mixed.append(message)
        if number % 3 == 2:
            mixed.append(record(topic, None, SENT + number, KEY))
    return [*mixed, record(topic, None, SENT + len(messages), KEY)]


def events() -> list[ConsumerRecord]:
    found = []
    for number in range(240):
        at = 100.0 + number
        event = SocialEvent(f"c{number % 5}", f"e{number}", f"u{number % 9}", at, "share")
        found.append(record(SOCIAL_EVENTS, SOCIAL_EVENTS.codec.encode(event), 10_000_000 + number))
    return found


def requests() -> list[ConsumerRecord]:
    found = []
    for number in range(240):
        request = EdgeRequest(f"edge-{number % 2}", f"o{number % 7}", 100.0 + number)
        value = EDGE_REQUESTS.codec.encode(request)
        found.append(record(EDGE_REQUESTS, value, 10_000_000 + number))
    return found


def batches(handler: Any, messages: Sequence[ConsumerRecord], size: int = 7) -> list[Output]:
    held = logged(messages)
    return [
        output
        for start in range(0, len(held), size)
        for output in handler.process(held[start : start + size])
    ]


def split(outputs: Sequence[Output]) -> tuple[list[Output], list[Output]]:
    return (
        [output for output in outputs if not is_heartbeat(output)],
        [output for output in outputs if is_heartbeat(output)],
    )


@pytest.mark.parametrize(
    ("handler", "source", "log", "into"),
    [
        (TrackedPartition, SOCIAL_EVENTS, events, {CASCADE_SNAPSHOTS.name, CASCADE_OUTCOMES.name}),
        (EdgePartition, EDGE_REQUESTS, requests, {EDGE_WINDOWS.name}),
    ],
)
def test_what_is_read_with_heartbeats_gives_the_same_bytes(
    handler: Callable[[Settings], Any],
    source: Topic,
    log: Callable[[], list[ConsumerRecord]],
    into: set[str],
) -> None:
    plain, mixed = handler(QUICK), handler(QUICK)
    expected = batches(plain, log())
    messages = with_heartbeats(source, log())
    outputs, heartbeats = split(batches(mixed, messages))
    assert len(expected) > 5
    assert outputs == expected
    assert mixed.counters == plain.counters
    sent = sorted(message.timestamp for message in messages if message.key == KEY)
    for topic in into:
        assert [h.timestamp_ms for h in heartbeats if h.topic == topic] == sent
    assert {h.topic for h in heartbeats} == into
    # Nor does one count as the moment that an idle partition's outputs are of.
    assert mixed._last_timestamp_ms == plain._last_timestamp_ms == 10_000_239


def test_a_heartbeat_goes_out_behind_what_came_before_it() -> None:
    handler = TrackedPartition(QUICK)
    held = logged([*events(), record(SOCIAL_EVENTS, None, SENT, KEY)])
    outputs = handler.process(held)
    assert [is_heartbeat(output) for output in outputs[-2:]] == [True, True]
    assert not any(is_heartbeat(output) for output in outputs[:-2])


def test_a_null_value_under_another_key_is_a_dead_letter_as_ever() -> None:
    handler = TrackedPartition(QUICK)
    (letter,) = handler.process(logged([record(SOCIAL_EVENTS, None, SENT, b"k")]))
    assert letter.topic == "dead.letters"
    (letter,) = handler.process(logged([record(SOCIAL_EVENTS, b"{}", SENT, KEY)]))
    assert letter.topic == "dead.letters"


def test_an_idle_partition_stays_idle_however_often_the_heart_beats() -> None:
    registry = CollectorRegistry()
    progress = Progress(0, 0, 0, RecoveryMetrics(registry), 0.0)
    partition = Partition(TrackedPartition(QUICK), Point(0), 0, progress)
    metrics = IngestMetrics(registry, "tracker")
    partition.last_record = 0.0
    partition.process(logged([record(SOCIAL_EVENTS, None, SENT, KEY)]), metrics)
    assert partition.last_record == 0.0
    partition.process(logged([*events()[:1], record(SOCIAL_EVENTS, None, SENT, KEY)]), metrics)
    assert partition.last_record > 0.0


# --------------------------------------------------------------------------- model roles


def received(topic: Topic, outputs: Sequence[Output]) -> list[Received]:
    """A topic's messages among the outputs, as partition 1 holds them."""
    held = [output for output in outputs if output.topic == topic.name]
    return [
        Received(topic.name, 1, offset, output.timestamp_ms, output.key, output.value)
        for offset, output in enumerate(held)
    ]


def content(outputs: Sequence[tuple[int, Output]]) -> list[tuple[int, str, bytes | None, Any]]:
    """Outputs without the moment at which they were made."""
    said = []
    for number, output in outputs:
        value: Any = output.value
        if output.topic in (POPULARITY_FORECASTS.name, CACHE_DECISIONS.name) and value:
            value = msgspec.json.decode(value)
            value.pop("produced_at", None)
        said.append((number, output.topic, output.key, value))
    return said


def answers(
    compute: Callable[[Sequence[Received]], list[tuple[int, Output]]],
    messages: Sequence[Received],
) -> tuple[list[tuple[int, Output]], list[tuple[int, Output]]]:
    """What comes out of batches of seven: without the heartbeats, and those."""
    outputs = [
        output
        for start in range(0, len(messages), 7)
        for output in compute(messages[start : start + 7])
    ]
    return (
        [(number, output) for number, output in outputs if not is_heartbeat(output)],
        [(number, output) for number, output in outputs if is_heartbeat(output)],
    )


def forecaster() -> ForecastBatch:
    served = load_known(QUICK, "seismic")
    return ForecastBatch(lambda: served, QUICK, CollectorRegistry())


def scorer() -> ScoreBatch:
    return ScoreBatch(QUICK, lambda number, take_in: 0, lambda: 0, CollectorRegistry())


def test_forecasts_and_scores_are_the_same_with_heartbeats_among_them() -> None:
    plain = batches(TrackedPartition(QUICK), events())
    mixed = batches(TrackedPartition(QUICK), with_heartbeats(SOCIAL_EVENTS, events()))
    expected, none = answers(forecaster(), received(CASCADE_SNAPSHOTS, plain))
    forecasts, passed = answers(forecaster(), received(CASCADE_SNAPSHOTS, mixed))
    assert none == [] and len(expected) > 5
    assert content(forecasts) == content(expected)
    assert {(number, output.topic) for number, output in passed} == {(1, POPULARITY_FORECASTS.name)}

    def scores(
        made: Sequence[tuple[int, Output]], log: Sequence[Output]
    ) -> tuple[list[tuple[int, Output]], list[tuple[int, Output]]]:
        role = scorer()
        by_forecast = answers(role, received(POPULARITY_FORECASTS, [output for _, output in made]))
        by_outcome = answers(role, received(CASCADE_OUTCOMES, log))
        return by_forecast[0] + by_outcome[0], by_forecast[1] + by_outcome[1]

    wanted, _ = scores(expected, plain)
    found, through = scores([*forecasts, *passed], mixed)
    assert any(output.topic == FORECAST_SCORES.name for _, output in wanted)
    assert [o for _, o in found if o.topic == FORECAST_SCORES.name] == [
        o for _, o in wanted if o.topic == FORECAST_SCORES.name
    ]
    # Outcomes bring heartbeats too; those end here, for one way of each is enough.
    assert [o.timestamp_ms for _, o in through] == [o.timestamp_ms for _, o in passed]
    assert {output.topic for _, output in through} == {FORECAST_SCORES.name}


def test_a_ranker_reads_nothing_again_because_of_heartbeats() -> None:
    plain = batches(EdgePartition(QUICK), requests())
    mixed = batches(EdgePartition(QUICK), with_heartbeats(EDGE_REQUESTS, requests()))
    make = decayed(QUICK)
    reads: list[tuple[int, int]] = []

    def reread(number: int, start: int, end: int, take_in: Any) -> int:
        reads.append((start, end))
        return 0

    def ranker() -> RankBatch:
        registry = CollectorRegistry()
        settings = replace(QUICK, checkpoint_interval=0.0)
        recovery = Recovery(EDGE_WINDOWS, "group", settings, registry)
        metrics = Metrics(QUICK, registry)
        held = HeldPartitions(QUICK, lambda: make, reread, lambda: {1}, recovery, metrics.rebuilt)
        return RankBatch(QUICK, held, metrics)

    expected, _ = answers(ranker(), received(EDGE_WINDOWS, plain))
    messages = received(EDGE_WINDOWS, mixed)
    decisions, passed = answers(ranker(), messages)
    assert len(expected) > 3
    assert content(decisions) == content(expected)
    assert len(passed) == sum(map(is_heartbeat, messages)) > 80
    assert {(number, output.topic) for number, output in passed} == {(1, CACHE_DECISIONS.name)}
    # Only the start, before which the log holds nothing but heartbeats.
    first = next(at for at, message in enumerate(messages) if not is_heartbeat(message))
    assert reads == [(0, first)]


def test_the_age_is_that_of_the_time_when_it_had_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock().read_by(monkeypatch, heartbeats)
    registry = CollectorRegistry()
    passed = Passed("tracker", registry)
    passed.note(SOCIAL_EVENTS.name, 3, round((clock.now - 7) * 1000))
    labels = {"role": "tracker", "topic": SOCIAL_EVENTS.name, "partition": "3"}
    age = registry.get_sample_value("tidecast_heartbeat_age_seconds", labels)
    at = registry.get_sample_value("tidecast_heartbeat_passed_timestamp_seconds", labels)
    assert (age, at) == (7, clock.now)


class Producer:
    """Takes nothing for a while, as while brokers are away; the test says for how long."""

    def __init__(self, heart: Heart, failures: int) -> None:
        self._heart = heart
        self._failures = failures

    async def __aenter__(self) -> Producer:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, *_: object, **__: object) -> asyncio.Future[None]:
        taken = asyncio.get_running_loop().create_future()
        if self._failures:
            self._failures -= 1
            taken.set_exception(KafkaTimeoutError())
        else:
            taken.set_result(None)
            self._heart.stop()
        return taken


async def test_a_heart_beats_on_once_brokers_that_were_away_are_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def partitions(*_: object) -> list[TopicPartition]:
        return [TopicPartition(SOCIAL_EVENTS.name, 0)]

    beating = Heart(Settings(heartbeat=Duration(0.001)), CollectorRegistry())
    monkeypatch.setattr(heart, "partitions", partitions)
    monkeypatch.setattr(heart, "AIOKafkaProducer", lambda **_: Producer(beating, 2))
    await beating.run()
    assert beating.sent == {SOCIAL_EVENTS.name: 1}
