"""Versions of models at work: swapped under load, refused when broken, tried as shadows."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.serving.loading import describe
from stream.settings import Duration
from tests.patience import until
from tests.system.environment import environment
from topics.catalogue import (
    CASCADE_SNAPSHOTS,
    MODEL_UPDATES,
    POPULARITY_FORECASTS,
    SHADOW_FORECASTS,
)
from topics.records import CascadeSnapshot, ModelUpdate, PopularityForecast

pytestmark = pytest.mark.system

ROLE = "forecaster"
HELD = Path(__file__).with_name("held_forecaster.py")
Copy = Callable[[Path, str, str], Path]


def snapshots(numbers: Iterable[int]) -> list[tuple[str, bytes]]:
    """(cascade id, encoded snapshot) for each number, ten events each at five minutes."""
    parent = np.array([-1] + [0] * 9, "<i4")
    values = []
    for number in numbers:
        snapshot = CascadeSnapshot(
            snapshot_id=f"cascade-{number}@n10",
            cascade_id=f"cascade-{number}",
            trigger="n10",
            published_at=1_000_000.0,
            age=300.0,
            observed_count=10,
            rooted=True,
            delay=np.linspace(0, 300, 10, dtype="<f4").tobytes(),
            parent=parent.tobytes(),
            depth=(parent + 1).tobytes(),
            user=np.arange(10, dtype="<i4").tobytes(),
        )
        values.append((snapshot.cascade_id, CASCADE_SNAPSHOTS.codec.encode(snapshot)))
    return values


def forecasts_of(records: Iterable[Any]) -> list[PopularityForecast]:
    return [POPULARITY_FORECASTS.codec.decode(record.value) for record in records]


def encoded(update: ModelUpdate) -> tuple[str, bytes]:
    return update.name, MODEL_UPDATES.codec.encode(update)


async def publish(cluster: Any, name: str, version: str, root: Path) -> tuple[int, str]:
    """Runs `tidecast models publish`; returns its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream", "models", "publish", name, version,
        "--root", str(root), "--kafka", cluster.settings.kafka,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    return process.returncode or 0, said.decode()


async def metric_becomes(worker: Any, name: str, value: float) -> None:
    """Waits until a worker exports the value."""

    def found() -> bool:
        return bool(worker.metrics().get(name) == value)

    await until(found, lambda: f"{name} {value}\n{worker.tail()}")


@contextmanager
def held(cluster: Any) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A forecaster that loads an update when it is told to, and its log."""
    log = cluster.folder / "held.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, str(HELD)],
            env=environment(cluster.settings),
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, log
    finally:
        process.kill()
        process.communicate()


async def test_a_version_is_swapped_under_load(
    cluster: Any, tmp_path: Path, copy_version: Copy
) -> None:
    root = tmp_path / "registry"
    copy_version(root, "boosting", "1")
    cluster.settings = cluster.settings.having(registry=str(root), forecaster="boosting")
    numbers = itertools.count()
    done = asyncio.Event()  # a cancel could leave a producer half open

    async def load() -> None:
        while not done.is_set():
            await cluster.publish(CASCADE_SNAPSHOTS, snapshots(itertools.islice(numbers, 10)))

    async def answered(more: int) -> list[str]:
        """The versions of all forecasts, once there are so many more."""
        count = len(await cluster.read(POPULARITY_FORECASTS)) + more
        records = await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) > count)
        return [forecast.model_version for forecast in forecasts_of(records)]

    with held(cluster) as (worker, log):
        loading = asyncio.create_task(load())
        assert {*await answered(100)} == {"1"}
        copy_version(root, "boosting", "2")
        code, said = await publish(cluster, "boosting", "2", root)
        assert code == 0, said
        assert "boosting 2 is published" in said
        await until(lambda: "an update is loaded" in log.read_text(), log.read_text)
        # The old version answers until the new one is ready: nothing waits for it.
        assert {*await answered(100)} == {"1"}
        assert worker.stdin is not None
        worker.stdin.write(b"go on\n")
        worker.stdin.flush()
        await cluster.read(
            POPULARITY_FORECASTS,
            lambda seen: any(f.model_version == "2" for f in forecasts_of(seen[-20:])),
        )
        await answered(100)
        done.set()
        await loading
        sent = [r.key.decode() for r in await cluster.read(CASCADE_SNAPSHOTS)]
        records = await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) >= len(sent))

    forecasts = forecasts_of(records)
    assert sorted(f.cascade_id for f in forecasts) == sorted(sent)  # each once
    versions = defaultdict(list)
    for record, forecast in zip(records, forecasts, strict=True):
        versions[record.partition].append(forecast.model_version)
    for each in versions.values():
        assert each == sorted(each) and set(each) == {"1", "2"}


async def test_a_broken_version_is_refused_and_the_next_start_knows_the_last_good_one(
    cluster: Any, tmp_path: Path, copy_version: Copy
) -> None:
    root, elsewhere = tmp_path / "registry", tmp_path / "elsewhere"
    copy_version(root, "seismic", "1")
    copy_version(elsewhere, "seismic", "2")
    broken = copy_version(elsewhere, "seismic", "3")
    update = describe("seismic", "3", elsewhere)
    (broken / "constants.json").write_text("{}")
    cluster.settings = cluster.settings.having(registry=str(root), forecaster="seismic")
    worker = cluster.start(ROLE)

    async def served(number: int) -> str:
        """The version that answers the snapshot of this number."""
        [(key, _)] = values = snapshots([number])
        await cluster.publish(CASCADE_SNAPSHOTS, values)
        records = await cluster.read(
            POPULARITY_FORECASTS, lambda seen: key.encode() in [record.key for record in seen]
        )
        [version] = [f.model_version for f in forecasts_of(records) if f.cascade_id == key]
        return version

    assert await served(0) == "1"
    code, said = await publish(cluster, "seismic", "3", elsewhere)
    assert code == 1
    assert "BrokenModelError" in said and "install the version again" in said
    assert await cluster.read(MODEL_UPDATES) == []

    # Whoever writes it all the same, or something else, changes nothing.
    await cluster.publish(MODEL_UPDATES, [encoded(update)])
    await metric_becomes(worker, "tidecast_forecaster_failed_swaps_total", 1)
    await cluster.publish(MODEL_UPDATES, [("seismic", b"2"), ("seismic", None)])
    await metric_becomes(worker, "tidecast_forecaster_failed_swaps_total", 2)
    assert await served(1) == "1"
    assert "install the version again" in worker.tail()

    code, said = await publish(cluster, "seismic", "2", elsewhere)
    assert code == 0, said
    await metric_becomes(worker, "tidecast_forecaster_swaps_total", 1)
    assert await served(2) == "2"

    await cluster.publish(MODEL_UPDATES, [encoded(update)])
    await metric_becomes(worker, "tidecast_forecaster_failed_swaps_total", 3)
    cluster.kill(worker)
    worker = cluster.start(ROLE)
    assert await served(3) == "2"
    cluster.stop(worker)


@pytest.mark.both
async def test_shadows_answer_what_is_served_and_harm_nobody(cluster: Any) -> None:
    cluster.settings = cluster.settings.having(
        forecaster="seismic", shadows=("boosting", "boosting:9")
    )
    worker = cluster.start(ROLE)
    await metric_becomes(worker, "tidecast_forecaster_shadow_failures_total", 1)
    assert "shadow boosting:9 is dropped: UnknownModelError" in worker.tail()
    for first in range(0, 200, 10):
        await cluster.publish(CASCADE_SNAPSHOTS, snapshots(range(first, first + 10)))
    served = await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) >= 200)
    await cluster.publish(CASCADE_SNAPSHOTS, snapshots([200]))
    shadows = await cluster.read(
        SHADOW_FORECASTS, lambda seen: b"cascade-200" in [record.key for record in seen]
    )
    metrics = worker.metrics()
    cluster.stop(worker)

    assert {f.model for f in forecasts_of(served)} == {"seismic"}
    tried = forecasts_of(shadows)
    assert {f.model for f in tried} == {"boosting"}
    assert len({f.forecast_id for f in tried}) == len(tried)
    skipped = metrics["tidecast_forecaster_shadow_skipped_total"]
    assert len(tried) + skipped == 201
    partitions = {record.key: record.partition for record in served}
    when = {f.cascade_id: f.produced_at for f in forecasts_of(served)}
    for record, forecast in zip(shadows, tried, strict=True):
        assert partitions.get(record.key, record.partition) == record.partition
        assert when.get(forecast.cascade_id, 0.0) <= forecast.produced_at
        assert [name for name, _ in record.headers] == ["event_timestamp", "traceparent"]


async def test_what_waited_too_long_is_answered_by_seismic_until_it_is_worked_off(
    cluster: Any,
) -> None:
    cluster.settings = cluster.settings.having(forecaster="boosting", degrade_after=Duration(3600))
    ago = time.time() - 7200
    await cluster.publish(CASCADE_SNAPSHOTS, snapshots(range(300)), sent_at=ago)
    worker = cluster.start(ROLE)
    await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) >= 300)
    await cluster.publish(CASCADE_SNAPSHOTS, snapshots(range(300, 310)))
    records = await cluster.read(POPULARITY_FORECASTS, lambda seen: len(seen) >= 310)
    answers = {f.cascade_id: (f.model, f.degraded) for f in forecasts_of(records)}
    assert [answers[f"cascade-{n}"] for n in range(300)] == [("seismic", True)] * 300
    assert [answers[f"cascade-{n}"] for n in range(300, 310)] == [("boosting", False)] * 10
    assert worker.metrics()["tidecast_forecaster_degraded_total"] == 300
