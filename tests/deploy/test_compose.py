"""docker-compose.yml and the Dockerfile, read: no container engine runs in the tests.

The Compose file is held against the schema of the Compose specification, and everything in it
that is ours (commands, settings, ports, folders, users) against what the code and the image have.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from jsonschema import validators
from prometheus_client import CollectorRegistry

from stream import cli, settings
from stream.http.access import access
from stream.http.listening import free_port
from stream.telemetry import setup as telemetry
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ROLES = ("tracker", "historian", "forecaster", "ranker", "scorer", "gateway", "heart")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
INSTRUCTIONS = re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def dockerfile(instruction: str) -> list[str]:
    """The arguments of each such instruction."""
    return [arguments for name, arguments in INSTRUCTIONS if name == instruction]


def image_environment() -> dict[str, str]:
    pairs = [pair for arguments in dockerfile("ENV") for pair in arguments.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_file_follows_the_compose_specification() -> None:
    package = find_spec("check_jsonschema")  # only for the schema that it ships
    assert package and package.origin
    file = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    validator = validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert not validator.is_valid(COMPOSE | {"services": {"kafka": {"imagine": "apache/kafka"}}})


@pytest.mark.parametrize("name", OURS)
def test_commands_are_those_of_the_program(name: str) -> None:
    command: Any = typer.main.get_command(cli.app)
    words = list(OURS[name]["command"])
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", OURS)
def test_settings_are_those_of_the_program(name: str) -> None:
    known = {field.name for field in dataclasses.fields(settings.Settings)}
    environment = image_environment() | OURS[name]["environment"]
    ours = {key: value for key, value in environment.items() if key.startswith(settings.PREFIX)}
    assert {key.removeprefix(settings.PREFIX).lower() for key in ours} <= known
    assert settings.load(environment=ours).kafka == "kafka:9092"


@pytest.mark.parametrize("name", [*ROLES, "edge-agent"])
def test_prometheus_may_ask_every_role_and_the_host_the_gateway(name: str) -> None:
    environment = image_environment() | OURS[name]["environment"]
    ours = {key: value for key, value in environment.items() if key.startswith(settings.PREFIX)}
    of_role = settings.load(environment=ours)
    host = "172.18.0.7:9180" if name == "edge-agent" else f"{name}:9100"  # as prometheus.yml asks
    assert access(of_role, "metrics").refusal("172.18.0.2", host, "", 0.0) is None
    for server, by in {"gateway": "127.0.0.1:8080", "edge-agent": "127.0.0.1:9180"}.items():
        if name == server:
            kind = server.removesuffix("-agent")
            assert access(of_role, kind).refusal("172.18.0.1", by, "", 0.0) is None
            refused = access(of_role, kind).refusal("172.18.0.1", "evil.example", "", 0.0)
            assert refused and refused.status == 400


@pytest.mark.parametrize("name", OURS)
def test_containers_may_do_no_more_than_they_need(name: str) -> None:
    service = OURS[name]
    assert service["user"] == dockerfile("USER")[-1] != "root"
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] in ("unless-stopped", "on-failure")


@pytest.mark.parametrize("name", ROLES)
def test_a_role_has_health_limits_and_waits_for_its_topics(name: str) -> None:
    service = OURS[name]
    assert service["command"] == [name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert SERVICES["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert "profiles" not in service


def test_the_check_of_health_asks_for_the_metrics_of_the_role() -> None:
    port = free_port()
    program, *arguments = OURS["tracker"]["healthcheck"]["test"][1:]
    served = OURS["tracker"]["environment"]["TIDECAST_METRICS_PORT"]
    assert program == "python"
    assert f":{served}/metrics" in arguments[-1]
    command = [sys.executable, *(part.replace(served, str(port)) for part in arguments)]
    assert subprocess.run(command, capture_output=True, timeout=PATIENCE).returncode != 0
    telemetry.serve(CollectorRegistry(), settings.Settings(metrics_port=port))
    assert subprocess.run(command, capture_output=True, timeout=PATIENCE).returncode == 0


def test_every_role_and_what_watches_it_is_there() -> None:
    # What the program runs until it is told to stop is what a module's `main` does.
    program = {
        str(command.name or command.callback.__name__)
        for command in cli.app.registered_commands
        if command.callback
        and re.search(r'main as run\b|\b_run\("', inspect.getsource(command.callback))
    }
    assert program == {*ROLES, "edge-agent"}
    assert set(OURS) == program | {"topics", "simulator"}
    assert set(SERVICES) - set(OURS) == {"kafka", "prometheus", "grafana"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_images_of_others_are_pinned_and_get_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) is (name != "kafka")
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)


def test_kafka_is_pinned_runs_without_zookeeper_and_makes_no_topics_by_itself() -> None:
    kafka = SERVICES["kafka"]
    assert re.fullmatch(r"apache/kafka:\d+\.\d+\.\d+", kafka["image"])
    assert kafka["environment"]["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert "INSIDE://kafka:9092" in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_volumes_are_declared_used_and_mounted_where_the_image_has_folders() -> None:
    volumes = {volume for service in SERVICES.values() for volume in service.get("volumes", ())}
    files = {volume for volume in volumes if volume.startswith("./")}
    assert all(
        (ROOT / volume.split(":")[0]).is_dir() and volume.endswith(":ro") for volume in files
    )
    mounts = {tuple(volume.split(":")) for volume in volumes - files}
    assert {name for name, _ in mounts} == set(COMPOSE["volumes"])
    image = image_environment()
    folders = {image["NUMBA_CACHE_DIR"], image["TIDECAST_DATA_DIR"]}
    theirs = set(SERVICES) - set(OURS)  # keep their data in a volume of their name
    assert {folder for name, folder in mounts if name not in theirs} == folders
    assert all(f"tidecast {folder}" in DOCKERFILE for folder in folders)


def test_only_this_machine_reaches_what_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published and all(port.startswith("127.0.0.1:") for port in published)


def test_the_image_starts_the_program_as_nobody_special() -> None:
    assert len(dockerfile("FROM")) == 3
    assert dockerfile("ENTRYPOINT") == ['["tidecast"]']
    assert "USER" not in [name for name, _ in INSTRUCTIONS[: INSTRUCTIONS.index(last_from())]]
    assert 'tidecast = "stream.cli:main"' in (ROOT / "pyproject.toml").read_text()
    assert "libgomp1" in DOCKERFILE


def last_from() -> tuple[str, str]:
    return [entry for entry in INSTRUCTIONS if entry[0] == "FROM"][-1]


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    copies = [words.split() for words in dockerfile("COPY") if not words.startswith("--from")]
    for source in (source for words in copies for source in words[:-1]):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
