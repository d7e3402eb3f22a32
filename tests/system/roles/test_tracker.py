"""The tracker as a process: the same log gives the same records, whatever happens on the way."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.sources.messages import Message
from tests.patience import PATIENCE
from tests.system.tracker_log import (
    EVENTS,
    by_id,
    cluster_of,
    send,
    simulated,
    snapshots_of,
    tracked,
    values,
)
from topics.catalogue import CASCADE_OUTCOMES, CASCADE_SNAPSHOTS, DEAD_LETTERS, SOCIAL_EVENTS
from topics.records import SocialEvent

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def log() -> list[Message]:
    return simulated()


@pytest.fixture(scope="module")
def expected(log: list[Message]) -> dict[str, bytes]:
    return snapshots_of(message.value for message in log)


@pytest.mark.parametrize("partitions", [1, 4])
async def test_the_log_gives_the_same_bytes_on_any_number_of_partitions(
    tmp_path: Path, log: list[Message], expected: dict[str, bytes], partitions: int
) -> None:
    async with cluster_of(tmp_path, partitions=partitions) as cluster:
        await send(cluster, log)
        cluster.start("tracker")
        await tracked(cluster, EVENTS)
        snapshots = await values(cluster, CASCADE_SNAPSHOTS)
        found = by_id(snapshots)
        assert len(found) == len(snapshots), "an undisturbed run repeats nothing"
        if partitions == 1:
            assert found == expected
            return
        # A partition's watermark is that of its own events, so at the end of the log some age
        # triggers are still to come; what has come is the same.
        assert found.items() <= expected.items()
        missing = {name.split("@")[1][0] for name in expected.keys() - found.keys()}
        assert missing <= {"a"}


@pytest.mark.both
async def test_killed_in_the_middle_it_repeats_but_neither_loses_nor_contradicts(
    tmp_path: Path, log: list[Message], expected: dict[str, bytes]
) -> None:
    async with cluster_of(tmp_path, partitions=1, poll_records=500) as cluster:
        for part in range(3):
            tracker = cluster.start("tracker")
            await send(cluster, log[part * EVENTS // 3 : (part + 1) * EVENTS // 3])
            target = part * EVENTS // 3 + EVENTS // 6
            await tracked(cluster, target)
            cluster.kill(tracker)
        cluster.start("tracker")
        await tracked(cluster, EVENTS)
        assert by_id(await values(cluster, CASCADE_SNAPSHOTS)) == expected


async def test_sigterm_ends_it_with_everything_committed(
    tmp_path: Path, log: list[Message], expected: dict[str, bytes]
) -> None:
    async with cluster_of(tmp_path, partitions=1) as cluster:
        await send(cluster, log)
        tracker = cluster.start("tracker")
        await tracked(cluster, EVENTS // 2)
        cluster.stop(tracker)
        first = await values(cluster, CASCADE_SNAPSHOTS)
        cluster.start("tracker")
        await tracked(cluster, EVENTS)
        both = await values(cluster, CASCADE_SNAPSHOTS)
        assert len(both) == len(expected), "a clean stop repeats nothing"
        assert both[: len(first)] == first


def encode(**fields: Any) -> bytes:
    return msgspec.json.encode(fields)


GOOD = {"cascade_id": "c", "event_id": "e", "user_id": "u", "timestamp": 1e9, "kind": "share"}
BAD: dict[str, tuple[bytes | None, str, str]] = {
    "not JSON": (b"\xff\x00 what", "DecodeError", "malformed"),
    "cut off": (encode(**GOOD)[:-9], "DecodeError", "truncated"),
    "null": (None, "DecodeError", "null"),
    "another shape": (b"[1, 2]", "DecodeError", "Expected `object`"),
    "a field is missing": (encode(cascade_id="c"), "DecodeError", "event_id"),
    "a field of another type": (encode(**GOOD | {"timestamp": "noon"}), "DecodeError", "timestamp"),
    "an unknown kind": (encode(**GOOD | {"kind": "like"}), "DecodeError", "kind"),
    "an empty identifier": (encode(**GOOD | {"user_id": ""}), "DecodeError", "user_id"),
    "an identifier too long": (encode(**GOOD | {"event_id": "x" * 257}), "DecodeError", "event_id"),
    "a negative time": (encode(**GOOD | {"timestamp": -1}), "DecodeError", "timestamp"),
    "the year 3000": (encode(**GOOD | {"timestamp": 3.25e10}), "DecodeError", "timestamp"),
    "the far future": (encode(**GOOD | {"timestamp": 4e9}), "InFutureError", "unix seconds"),
    "before the root": (
        encode(**GOOD | {"cascade_id": "rooted", "timestamp": 1e9 - 3600}),
        "BeforeRootError",
        "clock of the sender",
    ),
    "oversized": (encode(**GOOD, note="x" * 20_000), "OversizedError", "event_bytes"),
    "half a character": (
        encode(**GOOD).replace(b'"u"', b'"\\ud800"'),
        "DecodeError",
        "",
    ),
    "nested too deep": (b"[" * 5_000, "DecodeError", ""),
}


async def test_bad_input_becomes_dead_letters_and_leaves_the_rest_unharmed(tmp_path: Path) -> None:
    good = [
        SocialEvent("rooted", f"e{i}", f"u{i}", 1e9 + i, "share" if i else "post")
        for i in range(12)
    ]
    good_values = [SOCIAL_EVENTS.codec.encode(event) for event in good]
    mixed = [*good_values[:6], *(value for value, _, _ in BAD.values()), *good_values[6:]]
    async with cluster_of(tmp_path, partitions=1) as cluster:
        await cluster.publish(SOCIAL_EVENTS, [("key", value) for value in mixed])
        cluster.start("tracker")
        await tracked(cluster, len(mixed))
        letters = await cluster.read(DEAD_LETTERS)
        assert len(letters) == len(BAD)
        told = {record.value: dict(record.headers) for record in letters}
        for name, (value, error, part) in BAD.items():
            headers = told[value]
            assert headers["error"].decode() == error, name
            assert part in headers["message"].decode(), name
            assert headers["topic"] == b"social.events"
            assert headers["role"] == b"tracker"
            assert mixed[int(headers["offset"])] == value
        (snapshot,) = await values(cluster, CASCADE_SNAPSHOTS)
        decoded = CASCADE_SNAPSHOTS.codec.decode(snapshot)
        assert (decoded.trigger, decoded.observed_count) == ("n10", 10)
        assert await values(cluster, CASCADE_OUTCOMES) == []


@pytest.mark.parametrize("count", [50_000, pytest.param(1_000_000, marks=pytest.mark.long)])
async def test_of_many_records_each_is_accounted_for_whatever_ails_a_twentieth(
    tmp_path: Path, count: int
) -> None:
    chance = random.Random(count)
    places = set(chance.sample(range(1, count), count // 20))
    good = iter(simulated(count - len(places) - 1))
    root = SocialEvent("rooted", "e0", "u0", 1e9, "post")
    bad = [chance.choice(list(BAD.values())) for _ in places]
    refused = iter(bad)
    log = [("rooted", SOCIAL_EVENTS.codec.encode(root))]
    for place in range(1, count):
        if place in places:
            log.append(("bad", next(refused)[0]))
        else:
            message = next(good)
            log.append((message.key.decode(), message.value))

    async with cluster_of(tmp_path, partitions=1) as cluster:
        tracker = cluster.start("tracker")
        await cluster.publish(SOCIAL_EVENTS, log)
        await tracked(cluster, count, patience=PATIENCE + count / 500)
        letters = await cluster.read(DEAD_LETTERS)
        outputs = await values(cluster, CASCADE_SNAPSHOTS)
        outcomes = await values(cluster, CASCADE_OUTCOMES)
        told = Counter((r.value, dict(r.headers)["error"].decode()) for r in letters)
        assert told == Counter((value, error) for value, error, _ in bad)
        sound = [value for place, (_, value) in enumerate(log) if place not in places]
        assert by_id(outputs) == snapshots_of(sound)
        metrics = tracker.metrics()
        assert metrics["tidecast_tracker_records_total"] == count
        sent = len(letters) + len(outputs) + len(outcomes)
        assert metrics["tidecast_tracker_outputs_total"] == sent
