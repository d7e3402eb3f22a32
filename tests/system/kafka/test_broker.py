"""A role that cannot start says why and what to do; `tidecast broker` ends with its server."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from stream.http.listening import free_port
from stream.kafka import broker
from stream.kafka.broker import BrokerError, check_role, create_topics
from stream.local.embedded import embedded
from stream.processes.roles import inherited
from stream.settings import Duration, Settings
from tests.clock import Clock
from tests.patience import PATIENCE, until
from tests.system.conftest import Cluster
from topics.catalogue import SOCIAL_EVENTS

pytestmark = [pytest.mark.system, pytest.mark.embedded]


async def test_without_a_broker_a_role_waits_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock().slept_on_by(monkeypatch, broker)
    nowhere = Settings(kafka=f"127.0.0.1:{free_port()}", broker_patience=Duration(3))
    with pytest.raises(BrokerError, match=r"no Kafka broker answers .* `tidecast broker`"):
        await check_role(nowhere, "forecaster")
    assert clock.slept == [0.25, 0.5, 1.0, 2.0]  # more and more seldom
    assert "nothing listens there" in caplog.text and "the forecaster waits" in caplog.text


async def test_a_role_that_waited_goes_on_once_the_broker_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    waits = asyncio.create_task(check_role(Settings(kafka=f"127.0.0.1:{port}"), "tracker"))
    await until(lambda: "the tracker waits" in caplog.text, "the tracker to wait")
    with embedded(tmp_path, port) as (address, _):
        await create_topics(Settings(kafka=address))
        await waits


async def test_without_its_topics_no_role_starts(
    bare_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock().slept_on_by(monkeypatch, broker)
    with pytest.raises(BrokerError, match=r"cascade\.snapshots, dead\.letters.*topics create"):
        await check_role(bare_cluster.settings, "forecaster")


async def test_topics_that_are_made_meanwhile_are_waited_for(
    bare_cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    waits = asyncio.create_task(check_role(bare_cluster.settings, "tracker"))
    await until(lambda: "topics are missing" in caplog.text, "the tracker to miss its topics")
    await create_topics(bare_cluster.settings)
    await waits


async def test_topics_are_created_once(bare_cluster: Cluster) -> None:
    assert "social.events" in await create_topics(bare_cluster.settings)
    assert await create_topics(bare_cluster.settings) == []
    await check_role(bare_cluster.settings, "tracker")


@contextmanager
def command(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`tidecast broker`, once it has begun or ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stream", "broker", "--port", str(port),
         "--folder", str(folder)],
        env=inherited(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def server_of(process: subprocess.Popen[str]) -> psutil.Process:
    (server,) = psutil.Process(process.pid).children()
    return server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_it_ends_with_its_server_and_keeps_what_it_holds(
    tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    cluster = Cluster(Settings(kafka=f"127.0.0.1:{port}"), tmp_path)
    with command(tmp_path, port) as process:
        assert f"Kafka at 127.0.0.1:{port}" in first_line(process)
        server = server_of(process)
        await cluster.publish(SOCIAL_EVENTS, [("c", b"1"), ("c", b"2")])
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE)[1] == "stopped\n"
        assert process.returncode == 0
        assert not server.is_running()
    with embedded(tmp_path, port):
        kept = await cluster.read(SOCIAL_EVENTS, lambda records: len(records) == 2)
    assert [record.value for record in kept] == [b"1", b"2"]


def test_its_server_does_not_outlive_it_when_it_is_killed(tmp_path: Path) -> None:
    with command(tmp_path, free_port()) as process:
        first_line(process)
        server = server_of(process)
        process.kill()
        server.wait(PATIENCE)


def test_it_fails_where_its_server_does(tmp_path: Path) -> None:
    with command(tmp_path, free_port()) as process:
        first_line(process)
        server_of(process).kill()
        error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert "BrokerError: the embedded broker ended by itself (exit -9)" in error


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with command(tmp_path, port) as process:
            error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port} (Address already in use)" in error
    assert "--port" in error


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    why = rf"{file}/data cannot be written to \(Not a directory\)"
    with pytest.raises(BrokerError, match=why), embedded(file / "data"):
        pytest.fail("it runs")
