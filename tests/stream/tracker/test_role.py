"""One partition of the tracker: records in, outputs out, without Kafka."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from stream.settings import Settings, load
from stream.tracker.role import TrackedPartition
from stream.workers.publishing.output import Output
from topics.catalogue import CASCADE_OUTCOMES, CASCADE_SNAPSHOTS, DEAD_LETTERS, SOCIAL_EVENTS
from topics.records import SocialEvent

SMALL = load(
    environment={},
    growth_first=3,
    snapshot_ages="64",
    horizons="128",
    allowed_lateness="4",
    clock_witnesses=1,
)


def messages(
    events: list[SocialEvent], first: int = 0, at: int = 10_000_000
) -> list[ConsumerRecord]:
    """Events as a partition holds them; message i has the Kafka timestamp `at` + i milliseconds."""
    return [
        message(SOCIAL_EVENTS.codec.encode(event), first + i, at + i)
        for i, event in enumerate(events)
    ]


def message(value: bytes | None, offset: int = 0, timestamp: int = 10_000_000) -> ConsumerRecord:
    return ConsumerRecord(
        SOCIAL_EVENTS.name, 0, offset, timestamp, 0, b"key", value, 0, 3, len(value or b""), ()
    )  # fmt: skip


def cascade(name: str, times: list[float]) -> list[SocialEvent]:
    return [
        SocialEvent(name, f"{name}:{i}", f"u{i}", at, "share" if i else "post")
        for i, at in enumerate(times)
    ]


def triggers(outputs: list[Output]) -> list[str]:
    return [
        CASCADE_SNAPSHOTS.codec.decode(output.value).trigger
        for output in outputs
        if output.topic == CASCADE_SNAPSHOTS.name
    ]


def test_a_snapshot_carries_the_timestamp_of_the_message_that_caused_it() -> None:
    partition = TrackedPartition(SMALL)
    (output,) = partition.process(messages(cascade("c", [100.0, 101.0, 102.0, 103.0])))
    assert (output.topic, output.key) == (CASCADE_SNAPSHOTS.name, b"c")
    assert output.timestamp_ms == 10_000_002


def test_counters_add_up_to_the_messages() -> None:
    partition = TrackedPartition(SMALL)
    events = cascade("c", [100.0, 101.0, 102.0])
    batch = [*messages([*events, events[1]]), message(b"{}"), message(None)]
    partition.process(batch)
    ended = sum(
        partition.counters[name] for name in ("accepted", "duplicate", "closed", "dead_letters")
    )
    assert ended == len(batch)
    assert partition.counters["dead_letters"] == 2
    assert partition.counters["snapshots"] == 1


def test_a_batch_of_nothing_usable_is_dead_letters_and_no_more() -> None:
    partition = TrackedPartition(SMALL)
    outputs = partition.process([message(b"nonsense"), message(b"x" * 100_000)])
    assert [output.topic for output in outputs] == [DEAD_LETTERS.name] * 2
    assert partition.store.live == 0


def test_a_schema_registry_header_is_passed_over_and_what_is_no_json_named() -> None:
    partition = TrackedPartition(SMALL)
    events = [
        message(b"\0\0\0\0\7" + SOCIAL_EVENTS.codec.encode(event), i)
        for i, event in enumerate(cascade("c", [100.0, 101.0, 102.0]))
    ]
    letter, snapshot = partition.process([*events, message(b"\0\0\0\0\7\x02c", 3)])
    assert CASCADE_SNAPSHOTS.codec.decode(snapshot.value).observed_count == 3
    assert letter.value == b"\0\0\0\0\7\x02c", "as it came"
    assert b"header of a schema registry (schema 7)" in dict(letter.headers)["message"]


def test_a_user_nobody_has_seen_is_no_trouble() -> None:
    partition = TrackedPartition(SMALL)
    events = [
        SocialEvent("c", f"e{i}", f"stranger-{i}", 100.0 + i, "share", parent_user_id="nobody")
        for i in range(3)
    ]
    (output,) = partition.process(messages(events))
    snapshot = CASCADE_SNAPSHOTS.codec.decode(output.value)
    assert snapshot.parents().tolist() == [-2, -2, -2]


def test_an_idle_partition_waits_unless_it_is_told_the_time() -> None:
    partition = TrackedPartition(SMALL)
    assert triggers(partition.process(messages(cascade("c", [100.0, 101.0, 102.0])))) == ["n3"]
    assert partition.idle(now=150.0) == []
    outputs = partition.idle(now=169.0)
    assert triggers(outputs) == ["a64"]
    assert outputs[0].timestamp_ms == 10_000_002, "that of the last message there was"
    (outcome,) = partition.idle(now=300.0)
    assert CASCADE_OUTCOMES.codec.decode(outcome.value).final


def test_two_partitions_keep_their_own_time() -> None:
    ahead, behind = TrackedPartition(SMALL), TrackedPartition(SMALL)
    ahead.process(messages(cascade("a", [5_000.0, 5_001.0, 5_002.0])))
    assert triggers(behind.process(messages(cascade("b", [100.0, 101.0, 102.0])))) == ["n3"]
    assert behind.store.watermark == 98.0
    assert triggers(behind.process(messages(cascade("late", [170.0])))) == ["a64"]


def test_where_batches_end_makes_no_difference() -> None:
    log = messages(
        [
            event
            for at in range(100, 400, 10)
            for event in cascade(f"c{at}", [at + 0.0, at + 0.5, at + 1.0, at + 1.5])
        ]
    )
    whole = TrackedPartition(Settings().having(growth_first=3)).process(log)
    for size in (1, 7, 50):
        partition = TrackedPartition(Settings().having(growth_first=3))
        pieces = [log[start : start + size] for start in range(0, len(log), size)]
        assert [output for piece in pieces for output in partition.process(piece)] == whole
