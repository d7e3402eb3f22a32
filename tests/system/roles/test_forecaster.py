"""The forecaster as a process: what goes in comes out, whatever becomes of the process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.telemetry.traces import of
from tests.patience import PATIENCE, until, until_so
from tests.system.conftest import died
from tests.system.crashes.mortal_role import AMID_PUBLISH
from topics.catalogue import CASCADE_SNAPSHOTS, DEAD_LETTERS, POPULARITY_FORECASTS
from topics.records import CascadeSnapshot, PopularityForecast

pytestmark = pytest.mark.system

ROLE = "forecaster"
QUICK = "boosting"  # is there seconds before a model on PyTorch, and is delivered no otherwise
TROUBLED = Path(__file__).with_name("troubled_forecaster.py")


def snapshot_values(count: int) -> list[tuple[str, bytes]]:
    """(cascade id, encoded snapshot) of so many cascades, ten events each at five minutes."""
    delay = np.linspace(0, 300, 10, dtype="<f4").tobytes()
    parent = np.array([-1] + [0] * 9, "<i4").tobytes()
    depth = np.array([0] + [1] * 9, "<i4").tobytes()
    user = np.arange(10, dtype="<i4").tobytes()
    return [
        (
            f"cascade-{number}",
            CASCADE_SNAPSHOTS.codec.encode(
                CascadeSnapshot(
                    snapshot_id=f"cascade-{number}@n10",
                    cascade_id=f"cascade-{number}",
                    trigger="n10",
                    published_at=1_000_000.0,
                    age=300.0,
                    observed_count=10,
                    rooted=True,
                    delay=delay,
                    parent=parent,
                    depth=depth,
                    user=user,
                )
            ),
        )
        for number in range(count)
    ]


def forecasts_of(records: Iterable[Any]) -> list[PopularityForecast]:
    return [POPULARITY_FORECASTS.codec.decode(record.value) for record in records]


def cascades_of(records: Iterable[Any]) -> set[str]:
    return {record.key.decode() for record in records}


async def assert_committed_is_published(cluster: Any) -> dict[int, int]:
    """Each snapshot before the committed offset has its forecast; returns what is committed."""
    committed = await cluster.committed(ROLE, CASCADE_SNAPSHOTS)
    answered = cascades_of(await cluster.read(POPULARITY_FORECASTS))
    done = [
        record
        for record in await cluster.read(CASCADE_SNAPSHOTS)
        if record.offset < committed[record.partition]
    ]
    assert cascades_of(done) <= answered
    return committed


async def test_every_snapshot_is_answered_and_a_stop_is_clean(cluster: Any) -> None:
    values = snapshot_values(1_000)
    await cluster.publish(CASCADE_SNAPSHOTS, values)
    forecaster = cluster.start(ROLE)
    records = await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) >= len(values))
    cluster.stop(forecaster)

    forecasts = forecasts_of(records)
    assert sorted(f.cascade_id for f in forecasts) == sorted(key for key, _ in values)
    assert len({f.forecast_id for f in forecasts}) == len(values)
    snapshots = {r.key: r for r in await cluster.read(CASCADE_SNAPSHOTS)}
    for record, forecast in zip(records, forecasts, strict=True):
        source = snapshots[record.key]
        assert record.partition == source.partition
        assert dict(record.headers) == {
            "event_timestamp": str(source.timestamp).encode(),
            "traceparent": of(source.headers, forecast.forecast_id.rpartition("/")[0]),
        }
        assert [h.horizon for h in forecast.horizons] == list(cluster.settings.horizons)
        assert all(h.expected >= forecast.observed_count for h in forecast.horizons)
    ends = Counter(record.partition for record in snapshots.values())
    assert await cluster.committed(ROLE, CASCADE_SNAPSHOTS) == ends
    assert await cluster.read(DEAD_LETTERS) == []


@pytest.mark.both
@pytest.mark.long
async def test_a_killed_forecaster_loses_nothing(cluster: Any) -> None:
    values = snapshot_values(6_000)
    await cluster.publish(CASCADE_SNAPSHOTS, values[:3_000])
    mortal = cluster.start_mortal(ROLE)
    await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) > 500)
    mortal.traps.set(AMID_PUBLISH, signal.SIGKILL)
    await cluster.publish(CASCADE_SNAPSHOTS, values[3_000:])
    await died(mortal)
    await assert_committed_is_published(cluster)

    after = cluster.start(ROLE)
    records = await cluster.read(
        POPULARITY_FORECASTS, lambda seen: len(cascades_of(seen)) == len(values)
    )
    cluster.stop(after)
    answers: dict[str, set[str]] = {}
    for forecast in forecasts_of(records):
        answers.setdefault(forecast.cascade_id, set()).add(forecast.forecast_id)
    assert all(len(ids) == 1 for ids in answers.values())
    # Only what was in flight is repeated: a batch.
    assert len(records) - len(values) <= cluster.settings.forecast_batch


def forecasts_made(worker: Any) -> float:
    """How many forecasts a worker has made, by its metrics; 0 before it is up."""
    try:
        with urllib.request.urlopen(worker.metrics_url) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    except urllib.error.URLError:
        return 0
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    return samples["tidecast_forecaster_forecasts_total"]


@contextmanager
def in_trouble(cluster: Any, trouble: str) -> Iterator[subprocess.Popen[bytes]]:
    """A forecaster whose model is in trouble with its third batch, from that moment on."""
    log = cluster.folder / "troubled.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, str(TROUBLED), trouble, "2"],
            env=os.environ | cluster.settings.environment(),
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        until_so(lambda: "trouble begins" in log.read_text(), log.read_text)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("trouble", ["stall", "fail"])
async def test_a_batch_in_trouble_is_not_committed(cluster: Any, trouble: str) -> None:
    """Killed in mid-batch, or failed in it, where Faust would acknowledge the batch."""
    values = snapshot_values(1_000)
    await cluster.publish(CASCADE_SNAPSHOTS, values)
    with in_trouble(cluster, trouble) as forecaster:
        if trouble == "stall":
            forecaster.kill()
        assert forecaster.wait(PATIENCE) == (-signal.SIGKILL if trouble == "stall" else 1)
    committed = await assert_committed_is_published(cluster)
    answered = len(await cluster.read(POPULARITY_FORECASTS))
    assert sum(committed.values()) == answered <= 2 * cluster.settings.forecast_batch
    if trouble == "fail":
        assert "the model has no answer" in (cluster.folder / "troubled.log").read_text()

    cluster.settings = cluster.settings.having(forecaster=QUICK)
    healthy = cluster.start(ROLE)
    await cluster.read(POPULARITY_FORECASTS, lambda seen: len(cascades_of(seen)) == len(values))
    cluster.stop(healthy)


async def test_a_stop_in_mid_batch_finishes_that_batch(cluster: Any) -> None:
    await cluster.publish(CASCADE_SNAPSHOTS, snapshot_values(2_000))
    with in_trouble(cluster, "stall") as forecaster:
        before = sum((await assert_committed_is_published(cluster)).values())
        forecaster.terminate()
        log = cluster.folder / "troubled.log"
        await until(lambda: "Signal received" in log.read_text(), log.read_text)
        assert forecaster.poll() is None, "it waits for the batch"
        assert forecaster.stdin is not None
        forecaster.stdin.write(b"go on\n")
        forecaster.stdin.flush()
        assert await asyncio.to_thread(forecaster.wait, PATIENCE) == 0, log.read_text()
    after = sum((await assert_committed_is_published(cluster)).values())
    assert before < after <= before + cluster.settings.forecast_batch
    assert after == len(await cluster.read(POPULARITY_FORECASTS))


async def test_a_second_worker_takes_its_share_and_nothing_is_lost(cluster: Any) -> None:
    cluster.settings = cluster.settings.having(forecaster=QUICK)
    await cluster.publish(CASCADE_SNAPSHOTS, snapshot_values(3_000))
    first = cluster.start(ROLE)
    await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) > 500)
    second = cluster.start(ROLE, instance="1")
    sent = 3_000

    async def second_answers() -> bool:
        """Whether it does, to one more hundred; the group rebalances meanwhile."""
        nonlocal sent
        sent += 100
        await cluster.publish(CASCADE_SNAPSHOTS, snapshot_values(sent)[-100:])
        return await asyncio.to_thread(forecasts_made, second) > 0

    await until(second_answers, second.tail)
    await cluster.read(POPULARITY_FORECASTS, lambda seen: len(cascades_of(seen)) == sent)
    # What the first published without being able to commit it, the second reads again.
    ends = Counter(record.partition for record in await cluster.read(CASCADE_SNAPSHOTS))

    async def all_is_committed() -> bool:
        return await cluster.committed(ROLE, CASCADE_SNAPSHOTS) == ends

    await until(all_is_committed, second.tail)
    cluster.stop(first, second)
    assert await cluster.committed(ROLE, CASCADE_SNAPSHOTS) == ends


async def test_an_undecodable_snapshot_is_a_dead_letter(cluster: Any) -> None:
    good = snapshot_values(20)
    bad = [("broken", b"\xc1 not a record"), ("gone", None)]
    await cluster.publish(CASCADE_SNAPSHOTS, good[:10] + bad + good[10:])
    cluster.start(ROLE)
    letters = await cluster.read(DEAD_LETTERS, lambda seen: len(seen) >= 2)
    forecasts = await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) >= 20)
    assert cascades_of(forecasts) == {key for key, _ in good}
    sources = {r.key: r for r in await cluster.read(CASCADE_SNAPSHOTS)}
    assert {letter.key.decode(): letter.value for letter in letters} == dict(bad)
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers}
        source = sources[letter.key]
        assert headers.pop("message")
        place = f"cascade.snapshots/{source.partition}/{source.offset}"
        assert headers == {
            "topic": "cascade.snapshots",
            "partition": str(source.partition),
            "offset": str(source.offset),
            "timestamp": str(source.timestamp),
            "role": ROLE,
            "error": "DecodeError",
            "traceparent": of(source.headers, place).decode(),
        }
