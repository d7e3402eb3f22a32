"""A batch of the ranker: messages in, messages out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import msgspec
import numpy as np
import pytest
import torch
from aiokafka import ConsumerRecord
from aiokafka.partitioner import DefaultPartitioner
from prometheus_client import CollectorRegistry

from models.caches.model import CacheMamba
from models.caches.networks.ranker import Config
from stream.checkpoints.recovery import Recovery
from stream.kafka.partitions import partition_hash
from stream.kafka.past import TakeIn
from stream.ranker import batch as batch_module
from stream.ranker.batch import RankBatch
from stream.ranker.edges import usable
from stream.ranker.held import HeldPartitions
from stream.ranker.metrics import Metrics
from stream.serving.rankers import MakeRanker, bounds, decayed
from stream.settings import Settings
from stream.workers.agents import Received
from stream.workers.publishing.output import Output
from tests.clock import Clock
from topics.catalogue import CACHE_DECISIONS, DEAD_LETTERS, EDGE_WINDOWS
from topics.heartbeat import KEY
from topics.records import EdgeEpoch, EdgeWindow

# The messages here are from the year 1970, and nothing but one test is about their being late.
SETTINGS = Settings(window=60.0, cache_objects=2, ranker="decayed", skip_after=0.0)


def window(edge: str, epoch: int, names: Sequence[str]) -> EdgeWindow:
    objects = list(dict.fromkeys(names))
    order = np.array([objects.index(name) for name in names], np.int32)
    return EdgeWindow(
        edge, epoch * 60.0, 60.0, 0, 1, objects,
        np.bincount(order, minlength=len(objects)).astype("<i4").tobytes(),
        np.zeros(len(objects), "<i8").tobytes(), order.astype("<i4").tobytes(),
    )  # fmt: skip


class Log:
    """A log of windows in two partitions, one of them with a bad one."""

    def __init__(self) -> None:
        generator = np.random.default_rng(3)
        self.messages: dict[int, list[Received]] = {0: [], 1: []}
        for epoch in range(30):
            for edge in ("lyon", "oslo", "riga"):
                names = [f"object-{i}" for i in generator.zipf(1.5, 20) % 12]
                self.append(int(edge == "riga"), window(edge, epoch, names))
        self.append(0, b"not a window")
        self.append(0, window("lyon", 30, ["object-1"]))

    def append(self, partition: int, value: EdgeWindow | bytes) -> None:
        if isinstance(value, EdgeWindow):
            value = EDGE_WINDOWS.codec.encode(value)
        log = self.messages[partition]
        log.append(
            Received(EDGE_WINDOWS.name, partition, len(log), 1_000 + len(log), b"key", value)
        )

    def reread(self, partition: int, start: int, end: int, take_in: TakeIn) -> int:
        records = [
            ConsumerRecord(m.topic, m.partition, m.offset, m.timestamp, 0, m.key, m.value, None,
                           3, len(m.value or b""), ())
            for m in self.messages[partition][start:end]
        ]  # fmt: skip
        take_in(records)
        return len(records)

    def windows(self) -> list[EdgeWindow]:
        """Those of partition 0 that can be used."""
        found = [usable(message.value) for message in self.messages[0]]
        return [window for window in found if isinstance(window, EdgeWindow)]

    def worker(
        self,
        settings: Settings = SETTINGS,
        make: MakeRanker | None = None,
        assigned: Collection[int] = (0, 1),
    ) -> RankBatch:
        make = make or decayed(settings)
        return self.worker_by(lambda: make, settings, assigned)

    def worker_by(
        self,
        current: Callable[[], MakeRanker],
        settings: Settings = SETTINGS,
        assigned: Collection[int] = (0, 1),
    ) -> RankBatch:
        """One that goes by whatever makes rankers now, and writes no checkpoints."""
        registry = CollectorRegistry()
        recovery = Recovery(
            EDGE_WINDOWS, "group", replace(settings, checkpoint_interval=0.0), registry
        )
        metrics = Metrics(settings, registry)
        held = HeldPartitions(
            settings, current, self.reread, lambda: set(assigned), recovery, metrics.rebuilt
        )
        return RankBatch(settings, held, metrics)


def neural(seed: int) -> MakeRanker:
    """Makes rankers by a network with something to say."""
    network = CacheMamba.untrained(Config(width=8, state=4), seed)
    torch.nn.init.normal_(network.correct.weight)
    return partial(CacheMamba.of(network, "7").ranker, *bounds(SETTINGS))


def content(outputs: Sequence[tuple[int, Output]]) -> list[tuple]:
    """What the outputs say, without when they were made."""
    said = []
    for number, output in outputs:
        record = None
        if output.value is not None and output.topic == CACHE_DECISIONS.name:
            record = CACHE_DECISIONS.codec.decode(output.value)
            if isinstance(record, EdgeEpoch):
                record = msgspec.structs.replace(record, produced_at=0.0)
        said.append((number, output.topic, output.key, record, output.headers))
    return said


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


def test_what_obeying_gains_is_a_metric(log: Log) -> None:
    worker = log.worker()
    outputs = worker(log.messages[0][:60])
    latest = {}
    for _, output in outputs:
        if output.value is not None:
            record = CACHE_DECISIONS.codec.decode(output.value)
            if isinstance(record, EdgeEpoch):
                latest[record.edge_id] = record
    requests = sum(epoch.requests for epoch in latest.values())
    gained = sum(e.requests * (e.hit_ratio - e.lru_hit_ratio) for e in latest.values())
    assert worker._metrics.gained._value.get() == pytest.approx(gained / requests)
    assert all(0 <= (epoch.decayed_hit_ratio or 0) <= 1 for epoch in latest.values())
    assert all("count that decays" in epoch.scored_by for epoch in latest.values())


def test_who_is_late_says_the_latest_alone_and_goes_on_as_if_nothing_had_happened(
    log: Log, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock().read_by(monkeypatch, batch_module)
    caplog.set_level("INFO")
    backlog = [m for messages in log.messages.values() for m in messages]
    heartbeat = backlog[0]._replace(offset=len(log.messages[0]), key=KEY, value=None)
    fresh = log.messages[1][-1]._replace(timestamp=round(clock.now * 1000))
    unhurried = log.worker()
    everything = content(unhurried([*backlog[:-1], heartbeat]))

    late = log.worker(replace(SETTINGS, skip_after=60.0))
    said = content(late([*backlog[:-1], heartbeat]))
    decisions = [output for output in everything if output[1] == CACHE_DECISIONS.name]
    assert [output for output in said if output[1] == CACHE_DECISIONS.name] == [
        output for i, output in enumerate(decisions)
        if output[2] not in {later[2] for later in decisions[i + 1 :]}
    ]  # fmt: skip
    assert len(decisions) > 2 * len({output[2] for output in decisions})
    assert DEAD_LETTERS.name in {output[1] for output in said}, "a dead letter stays"
    assert KEY in {output[2] for output in said}, "and so does a heartbeat"
    superseded = late._metrics.superseded._value.get()
    assert superseded == len(everything) - len(said)

    assert content(late([fresh])) == content(unhurried([fresh])), "the state is that of the log"
    assert late._metrics.superseded._value.get() == superseded
    told = [record.levelname for record in caplog.records if "skip_after" in record.message]
    assert told == ["WARNING", "INFO"]


def test_a_bad_window_is_a_dead_letter_and_harms_no_other(log: Log) -> None:
    outputs = log.worker()(log.messages[0][-2:])
    number, letter = outputs[0]
    assert (number, letter.topic, letter.value) == (0, DEAD_LETTERS.name, b"not a window")
    assert outputs[-1][1].topic == CACHE_DECISIONS.name


def test_all_of_an_edge_goes_where_its_readers_look_for_it(log: Log) -> None:
    for number, output in log.worker()(log.messages[1]):
        edge = msgspec.json.decode(output.key)[0]
        for partitions in (1, 4, 7):
            expected = DefaultPartitioner()(edge.encode(), list(range(partitions)), None)
            assert number % partitions == expected
    assert partition_hash(b"lyon") != partition_hash(b"oslo")


def test_outputs_say_which_request_caused_them(log: Log) -> None:
    (_, output), *_ = log.worker()([log.messages[1][4]])
    assert output.headers[0] == ("event_timestamp", b"1004")
