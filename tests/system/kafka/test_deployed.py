"""What is deployed in containers, tried without: brokers start with it, probes find them well."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from deploy.apache_kafka import programs, properties
from deploy.apache_kafka.broker import Broker, running
from stream.http.listening import free_port
from stream.kafka.broker import create_topics_now
from stream.settings import Settings
from tests.patience import PATIENCE
from topics.catalogue import CATALOGUE

pytestmark = [pytest.mark.system, pytest.mark.apache]


def port_of(listener: str, environment: dict[str, str]) -> str:
    """The port of a listener in its container."""
    listed = environment["KAFKA_LISTENERS"].split(",")
    return next(one.rpartition(":")[2] for one in listed if one.startswith(f"{listener}://"))


def probed(command: Sequence[str], folder: Path, address: str) -> subprocess.CompletedProcess[str]:
    """What a probe says of a broker at this address, by the program of that name."""
    program, *arguments = command
    programs.write(folder)
    *options, _ = arguments
    return subprocess.run(
        [str(folder / Path(program).name), *options, address],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip


def inside(broker: Broker) -> str:
    return broker.node.address("INSIDE")


def test_composes_probe_finds_its_broker_well_and_one_that_is_away_not(tmp_path: Path) -> None:
    compose = properties.compose()
    *_, address = compose.probe
    assert address == f"localhost:{port_of('INSIDE', dict(compose.environment))}"
    with running(tmp_path / "kafka") as cluster:
        well = probed(compose.probe, tmp_path / "bin", inside(cluster.brokers[0]))
    assert well.returncode == 0, well.stderr
    assert "Produce(0)" in well.stdout
    away = probed(compose.probe, tmp_path / "bin", f"127.0.0.1:{free_port()}")
    assert away.returncode != 0


def test_a_broker_starts_with_the_overlays_environment_and_its_probed_port_answers(
    tmp_path: Path,
) -> None:
    environment = properties.kubernetes()
    (kafka,) = (
        found["spec"]["template"]["spec"]["containers"][0]
        for found in yaml.safe_load_all(properties.KUBERNETES.read_text())
        if found["kind"] == "StatefulSet"
    )
    named = {port["name"]: str(port["containerPort"]) for port in kafka["ports"]}
    for probe in ("startupProbe", "readinessProbe"):
        assert named[kafka[probe]["tcpSocket"]["port"]] == port_of("INSIDE", environment)
    # To be up is to listen there: `running` waits for nothing else.
    with running(tmp_path / "kafka", environment=environment) as cluster:
        assert cluster.address == inside(cluster.brokers[0])
        assert set(create_topics_now(Settings(kafka=cluster.address))) == set(CATALOGUE)
