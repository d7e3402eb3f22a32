"""Traffic that is sound record by record and hostile as a whole: memory does not follow it.

Each test gives a partition's handler far more of one thing than a bound holds, and asks that every
message is accounted for and that the memory levels off: what is allocated, for how much of the
machine's that takes is the allocator's matter. What it costs in time `benchmarks/hostile.py`
measures.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import pytest
from aiokafka import ConsumerRecord

from stream.historian.role import EdgePartition
from stream.settings import Settings, load
from stream.tracker.role import TrackedPartition
from stream.workers.publishing.output import Output
from topics.catalogue import (
    CASCADE_OUTCOMES,
    DEAD_LETTERS,
    EDGE_REQUESTS,
    EDGE_WINDOWS,
    SOCIAL_EVENTS,
    Topic,
)
from topics.records import EdgeRequest, EdgeWindow, SocialEvent

BATCH = 4_000
START = 1.5e9
NOW_MS = 1_600_000_000_000  # later than any event here
MIB = 1 << 20


def batches(
    topic: Topic, records: Iterable[SocialEvent | EdgeRequest]
) -> Iterator[list[ConsumerRecord]]:
    """The records as a partition's batches; offsets do not matter to a handler."""
    encode = topic.codec.encode
    batch: list[ConsumerRecord] = []
    for record in records:
        value = encode(record)
        batch.append(
            ConsumerRecord(topic.name, 0, 0, NOW_MS, 0, b"k", value, None, 1, len(value), ())
        )
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@pytest.fixture
def allocated() -> Iterator[Callable[[], int]]:
    """Tells the bytes that have been allocated since the test began and not been freed."""

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    yield held
    tracemalloc.stop()


def accounted(counters: dict[str, int]) -> int:
    return sum(counters[name] for name in ("accepted", "duplicate", "closed", "dead_letters"))


def shares(cascade: str, times: np.ndarray, user: str | None = None) -> Iterator[SocialEvent]:
    for i, at in enumerate(times.tolist()):
        kind = "share" if i else "post"
        parent = f"{cascade}:0" if i else None
        yield SocialEvent(cascade, f"{cascade}:{i}", user or f"u{i}", at, kind, parent)


def test_a_partition_of_one_cascade_of_a_million_events() -> None:
    partition, count = TrackedPartition(Settings()), 1_000_000
    times = START + np.sort(np.random.default_rng(5).uniform(0, 36_000, count))
    memory = []
    for batch in batches(SOCIAL_EVENTS, shares("hot", times)):
        partition.process(batch)
        memory.append(partition.store.bytes)
    assert partition.counters["accepted"] == count
    assert partition.store.kept <= Settings().max_events
    assert len(memory) == 250 and set(memory[25:]) == {memory[25]}
    fired = partition.idle(START + 40 * 86_400)
    outcomes = [o for o in fired if o.topic == CASCADE_OUTCOMES.name]
    assert CASCADE_OUTCOMES.codec.decode(outcomes[-1].value).count == count


def test_a_user_who_is_in_every_cascade_costs_what_others_do() -> None:
    cascades = 50_000
    held = []
    for user in (None, "everyone"):
        partition = TrackedPartition(Settings())
        log = chain.from_iterable(
            shares(f"c{i}", START + i / 100 + np.arange(3.0), user) for i in range(cascades)
        )
        for batch in batches(SOCIAL_EVENTS, log):
            partition.process(batch)
        assert partition.counters["accepted"] == 3 * cascades
        held.append(partition.store.bytes)
    assert held[0] == held[1]


def test_a_clock_that_steps_back_loses_nothing_and_opens_nothing_again() -> None:
    settings = load(environment={}, growth_first=3, snapshot_ages="5m", horizons="1h")
    partition = TrackedPartition(settings)
    before = [
        list(shares(f"old-{i}", START + 60 * i + np.array([0.0, 10, 20]))) for i in range(120)
    ]
    now = START + 60 * 119
    stepped = [
        event
        for i in range(120)  # the same sender, half an hour and more earlier; some cascades go on
        for event in (
            *shares(f"new-{i}", now - 3_000 + 10 * i + np.array([0.0, 10, 20])),
            SocialEvent(f"old-{i}", f"old-{i}:late", "u", START + 60 * i + 30 - 7_200, "share"),
        )
    ]
    outputs = []
    for batch in batches(SOCIAL_EVENTS, chain(chain.from_iterable(before), stepped)):
        outputs += partition.process(batch)
    watermark = partition.store.watermark
    assert watermark == now + 20 - settings.allowed_lateness, "time does not go back"
    counters = partition.counters
    assert accounted(counters) == 3 * 120 + 4 * 120
    assert counters["late"] > 0
    assert counters["dead_letters"] + counters["closed"] >= 120, "events before their own root"
    outputs += partition.idle(START + 86_400)
    final = [
        CASCADE_OUTCOMES.codec.decode(o.value) for o in outputs if o.topic == CASCADE_OUTCOMES.name
    ]
    counts = {outcome.cascade_id: outcome.count for outcome in final if outcome.age == 3_600}
    assert len(counts) == len([o for o in final if o.age == 3_600]), "each ends once"
    assert {counts[f"{when}-{i}"] for i in range(120) for when in ("old", "new")} == {3}


def test_a_clock_that_steps_back_too_far_begins_nothing() -> None:
    settings = load(environment={}, growth_first=3, snapshot_ages="5m", horizons="1h")
    partition = TrackedPartition(settings)
    log = [*shares("old", START + np.array([0.0, 10, 20])), *shares("new", START - np.r_[7_200.0])]
    outputs = [o for batch in batches(SOCIAL_EVENTS, log) for o in partition.process(batch)]
    (letter,) = [output for output in outputs if output.topic == DEAD_LETTERS.name]
    assert dict(letter.headers)["error"] == b"TooOldError"
    assert partition.store.live == 1


def closed(partition: EdgePartition) -> list[Output]:
    """What requests a day later close."""
    (batch,) = batches(EDGE_REQUESTS, [EdgeRequest("end", "o", START + 86_400)] * 3)
    return partition.process(batch)


def windows_of(outputs: list[Output]) -> list[EdgeWindow]:
    decode = EDGE_WINDOWS.codec.decode
    return [decode(output.value) for output in outputs if output.topic == EDGE_WINDOWS.name]


@pytest.mark.parametrize("characters", [2_048, 65_536])
def test_object_ids_that_are_too_long_are_dead_letters(characters: int) -> None:
    partition = EdgePartition(Settings())
    good = [EdgeRequest("oslo", f"o{i}", START + i) for i in range(100)]
    bad = [EdgeRequest("oslo", f"{i}" + "x" * characters, START + i) for i in range(100)]
    outputs = []
    for batch in batches(EDGE_REQUESTS, [x for pair in zip(good, bad, strict=True) for x in pair]):
        outputs += partition.process(batch)
    letters = [output for output in outputs if output.topic == DEAD_LETTERS.name]
    assert (partition.counters["accepted"], len(letters)) == (100, 100)
    (window,) = windows_of(closed(partition))
    assert set(window.objects) == {f"o{i}" for i in range(100)}


def test_a_partition_of_one_hot_object() -> None:
    partition, count = EdgePartition(Settings()), 500_000
    log = (EdgeRequest("oslo", "hot", START + i / 1_000) for i in range(count))
    outputs = []
    for batch in batches(EDGE_REQUESTS, log):
        outputs += partition.process(batch)
    outputs += closed(partition)
    assert sum(int(window.counts().sum()) for window in windows_of(outputs)) == count
    assert max(len(output.value) for output in outputs) <= Settings().message_bytes


def hour_of_events(number: int, cascades: int) -> Iterator[SocialEvent]:
    """Cascades that begin in an hour of event time; their events in order, within the hour."""
    random = np.random.default_rng(number)
    sizes = np.minimum(random.zipf(1.7, cascades), 2_000)
    owner = np.repeat(np.arange(cascades), sizes)
    born = START + 3_600 * number + random.uniform(0, 1_800, cascades)
    first = np.r_[True, owner[1:] != owner[:-1]]
    times = born[owner] + np.where(first, 0, random.exponential(300, owner.size).clip(1, 1_790))
    place = np.arange(owner.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    for i in np.argsort(times, kind="stable").tolist():
        name = f"h{number}-{owner[i]}"
        kind = "post" if first[i] else "share"
        yield SocialEvent(name, f"{name}:{place[i]}", f"u{i}", float(times[i]), kind)


def test_memory_levels_off_however_long_a_tracker_runs(allocated: Callable[[], int]) -> None:
    settings = load(environment={}, snapshot_ages="5m,15m", horizons="1h", max_cascades=800)
    partition, memory, sent = TrackedPartition(settings), [], 0
    for hour in range(24):
        for batch in batches(SOCIAL_EVENTS, hour_of_events(hour, 200)):
            partition.process(batch)
            sent += len(batch)
        memory.append(allocated())
    assert accounted(partition.counters) == sent > 20_000
    assert partition.store.live <= 800
    assert max(memory[12:]) - max(memory[4:12]) < 8 * MIB, [m // MIB for m in memory]


def test_memory_levels_off_however_long_a_historian_runs(allocated: Callable[[], int]) -> None:
    partition, memory, sent = EdgePartition(Settings()), [], 0
    random = np.random.default_rng(6)
    for hour in range(24):
        objects = random.zipf(1.2, 4_000) % 1_000_000
        log = (
            EdgeRequest(f"edge-{n % 4}", f"h{hour // 2}-{n}", START + 3_600 * hour + 0.9 * i)
            for i, n in enumerate(objects.tolist())
        )
        for batch in batches(EDGE_REQUESTS, log):
            partition.process(batch)
            sent += len(batch)
        memory.append(allocated())
    assert partition.counters["accepted"] == sent == 96_000
    assert max(memory[12:]) - max(memory[4:12]) < 8 * MIB, [m // MIB for m in memory]
