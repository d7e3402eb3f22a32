"""docs/kafka.md is followed by a shell as it stands, on three brokers of Apache Kafka."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.apache_kafka import programs
from stream.http.listening import free_port
from stream.kafka.access.acls import acls
from stream.processes.roles import inherited
from stream.settings import Settings
from tests.patience import PATIENCE
from tests.system.environment import ROOT

pytestmark = [pytest.mark.system, pytest.mark.apache, pytest.mark.long]

PAGE = (ROOT / "docs" / "kafka.md").read_text()
# The page's ports are 19091 to 39093: a broker's number, and these for its three listeners.
PORTS, PAGE_PORT = "909", "8080"
FIRST, LAST = "## From nothing to forecasts", "## Sizing"


def script() -> str:
    """All that the page would have one type, from the first certificate to the last disaster."""
    walk = PAGE[PAGE.index(FIRST) : PAGE.index(LAST)]
    blocks = re.findall(r"^```sh\n(.*?)^```$", walk, re.MULTILINE | re.DOTALL)
    return "".join(blocks).replace(PORTS, free_ports()).replace(PAGE_PORT, str(free_port()))


def free_ports() -> str:
    """Digits in the place of `PORTS`, with which all nine ports are free."""
    for digits in map(str, range(200, 900)):
        with ExitStack() as stack:
            try:
                for port in (f"{n}{digits}{listener}" for n in (1, 2, 3) for listener in (1, 2, 3)):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", int(port)))
            except OSError:
                continue
            return digits
    raise AssertionError("no nine ports are free")


def test_the_page_leads_from_nothing_to_forecasts_and_out_of_disasters(tmp_path: Path) -> None:
    programs.write(tmp_path / "bin")
    path = [str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    given = {
        "PATH": os.pathsep.join(path), "PYTHONPATH": str(ROOT),
        "TIDECAST_HTTP_PORT": str(free_port()),
    }  # fmt: skip
    folder = tmp_path / "here"
    folder.mkdir()
    said = tmp_path / "said"
    with said.open("wb") as sink:
        walk = subprocess.Popen(
            ["sh", "-exc", script()], cwd=folder, env=inherited() | given,
            stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        assert walk.wait(8 * PATIENCE) == 0, said.read_text()[-4_000:]
    finally:
        os.killpg(walk.pid, signal.SIGKILL)
    told = said.read_text()
    assert told.count('"forecast_id"') == told.count("+ grep -m 5 forecast_id") * 5 == 20


def test_every_right_that_the_page_tells_of_is_as_generated() -> None:
    parties = {acl.party for acl in acls(Settings())}
    named = re.search(r"for party in (.*?); do", PAGE, re.DOTALL)
    assert named is not None
    assert set(named[1].replace("\\\n", " ").split()) <= parties
