"""What is asked first of an Apache Kafka that nobody has asked anything yet."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.http.listening import free_port
from stream.kafka import groups
from stream.kafka.broker import connect_admin, create_topics_now
from stream.settings import Settings
from tests.patience import PATIENCE
from tests.system.brokers import BROKERS
from tests.system.environment import ROOT

pytestmark = [pytest.mark.system, pytest.mark.apache]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Settings]:
    with BROKERS.own(tmp_path / "broker") as own:
        yield Settings(kafka=own.address)


async def test_a_group_is_asked_about_before_there_is_a_topic_of_groups(fresh: Settings) -> None:
    admin = await connect_admin(fresh)
    try:
        assert await groups.committed(admin, "nobody") == {}
        assert await groups.members(admin, "nobody") == 0
    finally:
        await admin.close()


def test_a_person_has_brokers_until_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.apache_kafka", "--port", str(port),
         "--folder", str(tmp_path / "kafka")],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        _, answers = process.stdout.readline(), process.stdout.readline()
        assert f"it answers at 127.0.0.1:{port}" in answers
        assert create_topics_now(Settings(kafka=f"127.0.0.1:{port}"))
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "ended\n"
    assert process.returncode == 0


def test_up_runs_on_it(fresh: Settings, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = [
        sys.executable, "-m", "stream", "up", "--kafka", fresh.kafka, "--for", "5",
        "--logs", str(tmp_path / "logs"), "--json", str(told),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(told.read_text())
    assert summary["final_lag"] == 0
    assert set(summary["roles"].values()) == {0}
