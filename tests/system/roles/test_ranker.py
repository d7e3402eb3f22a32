"""The ranker as a process: nothing is lost or contradicted, whatever becomes of the process."""

from __future__ import annotations

import asyncio
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from aiokafka import ConsumerRecord
from aiokafka.partitioner import DefaultPartitioner
from prometheus_client.parser import text_string_to_metric_families

from models import registry
from stream.ranker.decisions import EdgeDecisions
from stream.ranker.role import WINDOWS_A_BATCH
from stream.serving.rankers import bounds
from stream.settings import Settings
from tests.system.conftest import died
from tests.system.crashes.mortal_role import AMID_PUBLISH
from topics.catalogue import CACHE_DECISIONS, DEAD_LETTERS, EDGE_WINDOWS
from topics.records import EdgeEpoch, EdgeWindow

pytestmark = pytest.mark.system

ROLE = "ranker"
EDGES = [f"edge-{number}" for number in range(6)]
EPOCHS = 150
Said = tuple[bytes, Any]  # key and content of a message


def windows() -> list[EdgeWindow]:
    """Windows of all edges in order of time; popularity drifts."""
    generator = np.random.default_rng(11)
    made = []
    for epoch in range(EPOCHS):
        for edge in EDGES:
            codes = generator.zipf(1.4, 60) % 80 + epoch // 5
            used, first, order = np.unique(codes, return_index=True, return_inverse=True)
            ranking = np.argsort(first)
            rank = np.empty(used.size, "<i4")
            rank[ranking] = np.arange(used.size)
            made.append(
                EdgeWindow(
                    edge_id=edge,
                    start=epoch * 300.0,
                    length=300.0,
                    part=0,
                    parts=1,
                    objects=[f"object-{code}" for code in used[ranking]],
                    count=np.bincount(rank[order]).astype("<i4").tobytes(),
                    size=np.zeros(used.size, "<i8").tobytes(),
                    order=rank[order].tobytes(),
                )
            )
    return made


def messages(content: Sequence[EdgeWindow]) -> list[tuple[str, bytes]]:
    return [(window.edge_id, EDGE_WINDOWS.codec.encode(window)) for window in content]


def expected(content: Sequence[EdgeWindow], settings: Settings) -> dict[str, list[Said]]:
    """What is to be said about each edge, in order."""
    said: dict[str, list[Said]] = {}
    for edge in EDGES:
        ranker = registry.load_ranker(settings.ranker).ranker(*bounds(settings))
        decisions = EdgeDecisions(edge, ranker, settings)
        said[edge] = [
            (key, record)
            for window in content
            if window.edge_id == edge
            for key, record in decisions.step(window, 0.0)
        ]
    return said


def said_by(records: Sequence[ConsumerRecord]) -> dict[str, list[Said]]:
    """What was said about each edge, in order; where it stood is checked."""
    said: dict[str, list[Said]] = {}
    for record in records:
        edge = msgspec.json.decode(record.key)[0]
        assert record.partition == DefaultPartitioner()(edge.encode(), [0, 1, 2, 3], None)
        content = None
        if record.value is not None:
            content = CACHE_DECISIONS.codec.decode(record.value)
            if isinstance(content, EdgeEpoch):
                content = msgspec.structs.replace(content, produced_at=0.0)
        said.setdefault(edge, []).append((record.key, content))
    return said


def restarts(said: list[Said], whole: list[Said]) -> int:
    """How often what was said went back to an earlier place of `whole`, and on from there.

    Fails if anything is left out, or is not what was to be said at its place.
    """
    places, farthest, count = {0}, 0, 0
    for one in said:
        onward = {i + 1 for i in places if i < len(whole) and whole[i] == one}
        if not onward:
            onward = {i + 1 for i in range(farthest) if whole[i] == one}
            count += 1
        assert onward, f"not to be said here: {one}"
        places, farthest = onward, max(farthest, *onward)
    assert len(whole) in places
    return count


def is_done(records: Sequence[ConsumerRecord]) -> bool:
    last = {
        msgspec.json.decode(record.key)[0]
        for record in records
        if record.value is not None
        and isinstance(closing := CACHE_DECISIONS.codec.decode(record.value), EdgeEpoch)
        and closing.epoch == EPOCHS - 1
    }
    return len(last) == len(EDGES)


@pytest.mark.long
async def test_a_ranker_killed_again_and_again_loses_and_contradicts_nothing(cluster: Any) -> None:
    content = windows()
    whole = expected(content, cluster.settings)
    quarter = len(content) // 4
    await cluster.publish(EDGE_WINDOWS, messages(content[:quarter]))
    mortal = cluster.start_mortal(ROLE)
    await cluster.read(CACHE_DECISIONS, lambda seen: len(seen) > 100)
    for begin in range(quarter, len(content), quarter):
        mortal.traps.set(AMID_PUBLISH, signal.SIGKILL)
        await cluster.publish(EDGE_WINDOWS, messages(content[begin : begin + quarter]))
        await died(mortal)
        mortal.start()
    records = await cluster.read(CACHE_DECISIONS, is_done)
    said = said_by(records)
    assert {edge: restarts(said[edge], whole[edge]) <= 3 for edge in EDGES} == dict.fromkeys(
        EDGES, True
    )
    # Only what was in flight is repeated: a batch for each kill.
    closings = sum(isinstance(record, EdgeEpoch) for edge in EDGES for _, record in said[edge])
    assert closings <= len(content) + 3 * WINDOWS_A_BATCH
    mortal.signal(signal.SIGTERM)
    await asyncio.to_thread(mortal.wait)
    assert mortal.process.returncode == 0, mortal.tail()
    assert await cluster.read(DEAD_LETTERS) == []


@pytest.mark.both
async def test_a_second_worker_takes_its_share_and_goes_on_where_the_first_was(
    cluster: Any,
) -> None:
    """From checkpoints, which the first writes before it lets go: none is due by time."""
    shared = str(cluster.folder / "checkpoints")
    cluster.settings = cluster.settings.having(
        checkpoint_url=shared,
        checkpoint_interval=3600.0,
        session_timeout=60.0,  # for half of it a checkpoint may take
    )
    content = windows()
    whole = expected(content, cluster.settings)
    half = len(content) // 2
    await cluster.publish(EDGE_WINDOWS, messages(content[:half]))
    first = cluster.start(ROLE)
    await cluster.read(CACHE_DECISIONS, lambda seen: len(seen) > 500)
    second = cluster.start(ROLE, instance="1")
    await cluster.has_joined(second)
    await cluster.publish(EDGE_WINDOWS, messages(content[half:]))
    said = said_by(await cluster.read(CACHE_DECISIONS, is_done))
    for edge in EDGES:
        restarts(said[edge], whole[edge])
    assert await asyncio.to_thread(metric, second, "rebuilt_windows_total") == 0
    cluster.stop(first, second)


def metric(worker: Any, name: str) -> float:
    """A metric of a worker; 0 as long as it has none."""
    try:
        with urllib.request.urlopen(worker.metrics_url) as answer:
            families = text_string_to_metric_families(answer.read().decode())
    except urllib.error.URLError:
        return 0.0
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    return samples.get(f"tidecast_ranker_{name}", 0.0)


async def test_a_bad_window_is_a_dead_letter_and_the_rest_unharmed(cluster: Any) -> None:
    content = windows()[:60]
    whole = expected(content, cluster.settings)
    broken = msgspec.structs.replace(content[0], order=b"\xff\xff\xff\xff")
    bad = [("edge-0", b"not a window"), ("edge-0", None), *messages([broken])]
    await cluster.publish(EDGE_WINDOWS, messages(content[:30]) + bad + messages(content[30:]))
    cluster.start(ROLE)
    letters = await cluster.read(DEAD_LETTERS, lambda seen: len(seen) >= 3)
    assert [letter.value for letter in letters] == [value for _, value in bad]
    reasons = [dict(letter.headers)["message"].decode() for letter in letters]
    assert reasons[1] == "the value is null; a record is expected"
    assert reasons[2].startswith("order: got -1 to -1; expected indices of")
    total = sum(map(len, whole.values()))
    said = said_by(await cluster.read(CACHE_DECISIONS, lambda seen: len(seen) >= total))
    assert said == whole


async def test_a_published_version_ranks_without_a_restart(
    cluster: Any, copy_version: Callable[[Path, str, str], Path], tmp_path: Path
) -> None:
    root = tmp_path / "models"
    copy_version(root, "cachemamba", "2")
    content = windows()
    await cluster.publish(EDGE_WINDOWS, messages(content[:60]))
    cluster.start(ROLE)
    before = closings(await cluster.read(CACHE_DECISIONS, lambda seen: len(closings(seen)) >= 60))
    assert {closing.model_version for closing in before} == {"1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream", "models", "publish", "cachemamba", "2",
        "--root", str(root), "--kafka", cluster.settings.kafka,
    )  # fmt: skip
    assert await process.wait() == 0
    found: list[EdgeEpoch] = []
    for number in range(60, len(content), 12):  # until it has been loaded
        await cluster.publish(EDGE_WINDOWS, messages(content[number : number + 12]))
        wanted = number + 12
        records = await cluster.read(
            CACHE_DECISIONS, lambda seen, n=wanted: len(closings(seen)) >= n
        )
        found = closings(records)
        if found[-1].model_version == "2":
            break
    # Nothing was left out, and no edge went back.
    assert len(found) == wanted
    for edge in EDGES:
        versions = [closing.model_version for closing in found if closing.edge_id == edge]
        assert versions == sorted(versions) and versions[-1] == "2"


def closings(records: Sequence[ConsumerRecord]) -> list[EdgeEpoch]:
    decoded = [CACHE_DECISIONS.codec.decode(r.value) for r in records if r.value is not None]
    return [record for record in decoded if isinstance(record, EdgeEpoch)]
