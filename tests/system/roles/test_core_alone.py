"""Every role runs, and the models that ship answer, where none of the extras is installed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import registry
from stream.http.listening import free_port
from stream.processes.roles import inherited
from stream.settings import Duration
from stream.sources.messages import Limited
from stream.sources.simulate import Simulation
from tests.patience import PATIENCE
from tests.system.conftest import Cluster
from tests.system.environment import ROOT
from topics.catalogue import (
    CACHE_DECISIONS,
    CATALOGUE,
    FORECAST_SCORES,
    POPULARITY_FORECASTS,
)

pytestmark = pytest.mark.system

EXTRAS = {
    "lightgbm", "mamba_ssm", "matplotlib", "noida_db", "opentelemetry", "torch", "torchdiffeq",
}  # fmt: skip
CORE_ALONE = Path(__file__).parent / "core_alone"
ROLES = ("tracker", "historian", "forecaster", "ranker", "scorer", "gateway", "heart", "edge-agent")
# What answers by PyTorch, whatever is installed: sampling has no kernel.
SAMPLES = {"casft"}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the processes that are started tell their modules; none of them has an extra."""
    folder = tmp_path / "told"
    folder.mkdir()
    paths = [str(CORE_ALONE), os.environ.get("PYTHONPATH", str(ROOT))]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("CORE_ALONE_TOLD", str(folder))
    monkeypatch.setenv("CORE_ALONE_WITHOUT", ",".join(sorted(EXTRAS)))
    return folder


async def test_every_role_does_its_work_without_an_extra(cluster: Cluster, told: Path) -> None:
    quick = {"snapshot_ages": (Duration(64), Duration(256)), "horizons": (Duration(300),)}
    edges = {"window": Duration(60), "ranker": "cachemamba", "edge": "edge-0"}
    ports = {"http_port": 0, "edge_port": free_port(), "edge_socket": ""}
    cluster.settings = dataclasses.replace(cluster.settings, **quick, **edges, **ports)
    roles = [cluster.start(role) for role in ROLES]
    sent: dict[str, list[tuple[str, bytes | None]]] = {}
    for batch in Limited(Simulation(), 20_000):
        for message in batch:
            sent.setdefault(message.topic, []).append((message.key.decode(), message.value))
    for topic, messages in sent.items():
        await cluster.publish(CATALOGUE[topic], messages)
    for topic in (POPULARITY_FORECASTS, CACHE_DECISIONS, FORECAST_SCORES):
        await cluster.read(topic, lambda records: len(records) > 0)
    cluster.stop(*roles)
    modules = modules_of(told)
    assert modules.keys() >= set(ROLES)
    for role in ROLES:
        assert not modules[role] & EXTRAS, role
    # An edge agent stands beside every cache: it loads neither kernels nor arrays' friends.
    assert not modules["edge-agent"] & {"numba", "river", "scipy", "faust"}


def modules_of(told: Path) -> dict[str, set[str]]:
    """The packages that each process had imported when it ended, by its command."""
    found = [file.read_text().splitlines() for file in told.iterdir()]
    return {command: {name.split(".")[0] for name in names} for command, *names in found}


@pytest.mark.parametrize("name", sorted({*registry.list_names()} - SAMPLES))
def test_what_ships_answers_without_an_extra(name: str, told: Path) -> None:
    ranks = registry.read_card(name).kind in registry.RANKERS
    load = "load_ranker" if ranks else "load"
    done = python(f"from models import registry; registry.{load}({name!r})")
    assert done.returncode == 0, done.stderr


def test_what_needs_an_extra_names_it(told: Path) -> None:
    done = python("from models import registry; registry.load('casft')")
    assert "MissingExtraError" in done.stderr
    assert "torch is not installed: pip install 'tidecast[train]'" in done.stderr
    for command in (["train", "mlp", "--cascades", __file__, "--output", str(told)], ["up"]):
        done = subprocess.run(
            [sys.executable, "-m", "stream", *command],
            env=inherited(), capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 1
        extra = "demo" if command == ["up"] else "train"
        assert f"pip install 'tidecast[{extra}]'" in done.stderr
        assert "Traceback" not in done.stderr


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=inherited(), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
