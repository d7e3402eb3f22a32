"""Every role as its container runs it: without rights, on a root that cannot be written to."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import ConsumerRecord

from stream.http.listening import free_port
from tests.deploy.manifests import COMPOSE
from tests.patience import PATIENCE, until
from tests.system.conftest import Cluster
from tests.system.whole.containers import USER, Container, Volumes, need_namespaces
from topics.catalogue import (
    CACHE_DECISIONS,
    DEAD_LETTERS,
    FORECAST_SCORES,
    POPULARITY_FORECASTS,
)

pytestmark = pytest.mark.system

OURS = [name for name, service in COMPOSE["services"].items() if "build" in service]
ROLES = [name for name in OURS if name not in ("topics", "simulator")]
OF_MODELS = ("tracker", "historian", "forecaster", "ranker", "scorer")
NO_CAPABILITIES = "0" * 16
# Small windows, horizons and intervals, so that everything is written within seconds.
QUICK = {
    "TIDECAST_SNAPSHOT_AGES": "64,256",
    "TIDECAST_HORIZONS": "300",
    "TIDECAST_WINDOW": "60",
    "TIDECAST_CHECKPOINT_INTERVAL": "2",
}


def assert_no_rights(role: Container) -> None:
    """Holds the running process, not its manifest, to what it may."""
    status = role.status()
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(USER)}
    assert status["NoNewPrivs"] == "1"
    assert status["Groups"] == ""
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert status[kind] == NO_CAPABILITIES, (role.name, kind)
    mounts = role.mounts()
    assert mounts["/"] is False
    assert {place for place, writable in mounts.items() if writable} == role.writable


@pytest.mark.long
async def test_roles_need_no_rights_and_write_to_their_volumes_alone(bare_cluster: Cluster) -> None:
    need_namespaces()
    cluster = bare_cluster
    volumes = Volumes(cluster.folder / "volumes")
    environment = QUICK | {
        "TIDECAST_KAFKA": cluster.settings.kafka,
        "TIDECAST_HTTP_PORT": str(free_port()),
        "TIDECAST_EDGE_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }
    started: list[Container] = []

    def start(name: str) -> Container:
        started.append(Container(name, cluster.folder, volumes, environment))
        return started[-1]

    def are_written(records: list[ConsumerRecord]) -> bool:
        for container in started:
            assert container.exit_code in (None, 0), f"{container.name}\n{container.output()}"
        return any(record.value is not None for record in records)  # one without is a heartbeat

    try:
        topics = start("topics")
        assert await asyncio.to_thread(topics.wait, PATIENCE) == 0, topics.output()
        roles = [start(name) for name in ROLES]
        simulator = start("simulator")
        for topic in (POPULARITY_FORECASTS, CACHE_DECISIONS, FORECAST_SCORES):
            await cluster.read(topic, are_written)
        for role in roles:
            await until(role.is_healthy, role.output)
            assert_no_rights(role)

        for container in (simulator, *roles):
            container.terminate()
        for container in (simulator, *roles):
            code = await asyncio.to_thread(container.wait, PATIENCE)
            assert code == 0, f"{container.name}\n{container.output()}"
    finally:
        for container in started:
            container.wait(0)
    assert await cluster.read(DEAD_LETTERS) == []
    for name in OF_MODELS:
        assert any(volumes[name].iterdir()), f"{name} has kept nothing"
