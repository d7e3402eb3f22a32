"""The examples that need a broker, run as a reader would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.own_model import write
from stream.processes.children import Child
from tests.documented import ROOT
from tests.patience import until
from tests.stream.gateway.conftest import forecast
from tests.system.conftest import Cluster
from tests.system.roles.test_forecaster import snapshot_values
from topics.catalogue import CASCADE_SNAPSHOTS, POPULARITY_FORECASTS, SOCIAL_EVENTS
from topics.records import SocialEvent

pytestmark = pytest.mark.system

FROM_HERE = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(*words: str) -> str:
    """What a script prints that ends by itself."""
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=FROM_HERE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def publish_forecasts(cluster: Cluster) -> None:
    said = [forecast(name, expected=expected) for name, expected in (("a", 100.0), ("b", 40.0))]
    encode = POPULARITY_FORECASTS.codec.encode
    beat: list[tuple[str, bytes | None]] = [("tidecast.heartbeat", None)]
    await cluster.publish(
        POPULARITY_FORECASTS, beat + [(one.cascade_id, encode(one)) for one in said]
    )


async def test_forecasts_are_read_as_they_come(cluster: Cluster, tmp_path: Path) -> None:
    await publish_forecasts(cluster)
    output = tmp_path / "told"
    with output.open("wb") as sink:
        reading = Child(
            [sys.executable, "examples/read_forecasts.py", cluster.settings.kafka],
            cwd=ROOT, env=FROM_HERE, stdout=sink, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            await until(lambda: len(output.read_text().splitlines()) >= 2, output.read_text)
        finally:
            reading.kill()
            reading.wait()
    assert sorted(output.read_text().splitlines()) == [
        "a: 20 now, 200 (50 to 200) by 4 h",
        "b: 20 now, 80 (20 to 80) by 4 h",
    ]


async def test_forecasts_become_a_table(cluster: Cluster) -> None:
    await publish_forecasts(cluster)
    told = run("examples/forecasts_in_a_dataframe.py", cluster.settings.kafka).splitlines()
    assert told[0].split() == [
        "cascade", "observed_at", "age", "observed", "horizon", "expected", "p05", "p50", "p95",
        "model",
    ]  # fmt: skip
    rows = sorted((line.split()[0], float(line.split()[6])) for line in told[1:5])
    assert rows == [("a", 100.0), ("a", 200.0), ("b", 40.0), ("b", 80.0)]
    assert told[-1].split() == ["14400.0", "20.0", "140.0", "140.0"]


async def test_a_source_of_ones_own_feeds_the_stream(cluster: Cluster, tmp_path: Path) -> None:
    comments = tmp_path / "comments.csv"
    comments.write_text(
        "thread,comment,parent,author,time\n"
        "t1,2,ann,bob,1600000005\n"
        "t1,1,,ann,1600000000\n"
        "t2,3,,cid,1600000003\n"
    )
    told = run("examples/own_source.py", str(comments), cluster.settings.kafka)
    assert told == "3 comments sent\n"
    records = await cluster.read(SOCIAL_EVENTS, lambda found: len(found) >= 3)
    assert {record.key for record in records} == {b"t1", b"t2"}
    events: list[SocialEvent] = [SOCIAL_EVENTS.codec.decode(record.value) for record in records]
    assert [event.event_id for event in events if event.cascade_id == "t1"] == ["1", "2"]
    assert {(event.kind, event.parent_user_id) for event in events} == {
        ("post", None), ("reply", "ann"),
    }  # fmt: skip


async def test_a_model_of_ones_own_is_served(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "models")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster.settings = cluster.settings.having(
        registry=str(tmp_path / "models"),
        forecaster="steady",
        shadows=(),
        model_classes=("examples.own_model:Steady",),
    )
    await cluster.publish(CASCADE_SNAPSHOTS, snapshot_values(3))
    cluster.start("forecaster")
    records = await cluster.read(POPULARITY_FORECASTS, lambda found: len(found) >= 3)
    said = [POPULARITY_FORECASTS.codec.decode(record.value) for record in records]
    assert {(one.model, one.model_version) for one in said} == {("steady", "1")}
    assert all(one.horizons[0].expected > one.observed_count for one in said)
