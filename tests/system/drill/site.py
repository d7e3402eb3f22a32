"""A site as an operator has it: a broker, the roles as processes, and Prometheus that watches them.

Each role keeps its address and its log whenever it is started, so that to Prometheus it is the one
that went away.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from stream.http.listening import free_port
from stream.kafka.broker import create_topics
from stream.local.embedded import embedded
from stream.settings import Settings
from tests.patience import PATIENCE
from tests.system.drill.rules import scaled_settings, write_configuration
from tests.system.drill.traffic import Traffic
from tests.system.environment import ROOT, environment
from tests.system.kafka.front import Front

EDGE_AGENT = "edge-agent"
BEHIND_FRONT = "historian"
_LOOK_SECONDS = 0.25


class DrillError(Exception):
    """The drill cannot go on, and says why."""


class Role:
    """One worker of a role.

    Attributes:
        log: what it writes, over all its starts.
        address: host:port of its metrics.
        wanted: whether it is to run.
    """

    def __init__(self, name: str, settings: Settings, folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.log = folder / f"{name}.log"
        self.wanted = False
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        theirs: dict[str, Any] = {"data_dir": self.folder, "log_format": "text"}
        theirs |= {"edge_port" if name == EDGE_AGENT else "metrics_port": port}
        self.settings = settings.having(**theirs)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **changes: Any) -> None:
        """Starts it, with settings changed from now on."""
        self.settings = self.settings.having(**changes)
        self.wanted = True
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream", self.name],
                stdout=sink, stderr=subprocess.STDOUT, env=environment(self.settings), cwd=ROOT,
                start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """Ends it as an operator does, who wants it to finish what it has begun."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as the kernel does that is out of memory."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        self.wanted = False
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def died(self) -> bool:
        """Whether it has ended by itself."""
        return self.wanted and self._process is not None and self._process.poll() is not None

    def answers(self) -> bool:
        """Whether its metrics are there."""
        try:
            return bool(_get(f"http://{self.address}/metrics"))
        except OSError:
            return False

    def tail(self, lines: int = 12) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Site:
    """What the cases of a drill act upon.

    Attributes:
        settings: those that all roles share.
        roles: by name.
        traffic: what they are sent.
        prometheus: its URL.
        broker: its process.
        front: what the historian takes for the broker.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        broker: subprocess.Popen[bytes],
        front: Front,
        names: Iterable[str],
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.broker = broker
        self.front = front
        self.traffic = Traffic(settings)
        self.prometheus = ""
        self.roles = {name: Role(name, settings, folder) for name in names}

    def check(self) -> None:
        """
        Raises:
            DrillError: a role has ended by itself.
        """
        for role in self.roles.values():
            if role.died:
                raise DrillError(f"the {role.name} ended by itself:\n{role.tail()}")

    async def up(self, names: Iterable[str]) -> None:
        """Returns once these roles answer.

        Raises:
            DrillError: one does not, or has ended by itself.
        """
        deadline = time.monotonic() + PATIENCE
        for name in names:
            role = self.roles[name]
            while not await asyncio.to_thread(role.answers):
                self.check()
                if time.monotonic() > deadline:
                    raise DrillError(f"the {name} does not answer:\n{role.tail()}")
                await asyncio.sleep(_LOOK_SECONDS)

    async def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing, as Prometheus tells them."""
        found: list[dict[str, Any]] = (await self._asked("alerts"))["alerts"]
        return found

    async def ask(self, expression: str) -> list[float]:
        """The values that an expression has now, one for each combination of labels."""
        found = await self._asked(f"query?{urllib.parse.urlencode({'query': expression})}")
        return [float(series["value"][1]) for series in found["result"]]

    async def until(self, expression: str, patience: float = PATIENCE) -> None:
        """Returns once an expression has a value.

        Raises:
            DrillError: it has none for too long.
        """
        deadline = time.monotonic() + patience
        while not await self.ask(expression):
            self.check()
            if time.monotonic() > deadline:
                raise DrillError(f"{expression} did not come true within {patience:.0f} s")
            await asyncio.sleep(_LOOK_SECONDS)

    async def seen(self) -> None:
        """Returns once Prometheus has scraped every role."""
        async with asyncio.timeout(PATIENCE):
            while len(await self.ask("up == 1")) < len(self.roles):
                self.check()
                await asyncio.sleep(_LOOK_SECONDS)

    async def _asked(self, what: str) -> dict[str, Any]:
        answer = await asyncio.to_thread(_get, f"{self.prometheus}/api/v1/{what}")
        data: dict[str, Any] = json.loads(answer)["data"]
        return data


@asynccontextmanager
async def opened(
    settings: Settings, folder: Path, scale: float, names: Iterable[str]
) -> AsyncIterator[Site]:
    """A site whose roles answer and are watched.

    Raises:
        DrillError: something of it does not start.
    """
    with embedded(folder / "broker") as (address, broker), Front(address).running() as front:
        settings = scaled_settings(settings, scale).having(kafka=address, http_port=free_port())
        await create_topics(settings, bounded=True)
        site = Site(settings, folder, broker, front, names)
        try:
            for role in site.roles.values():
                role.start(kafka=front.address if role.name == BEHIND_FRONT else address)
            await site.up(site.roles)
            with _prometheus(site, scale):
                await site.seen()
                yield site
        finally:
            broker.send_signal(signal.SIGCONT)
            front.takes_records.set()
            for role in site.roles.values():
                role.kill()


@contextmanager
def _prometheus(site: Site, scale: float) -> Iterator[None]:
    program = shutil.which("prometheus")
    if program is None:
        raise DrillError("prometheus is missing; `make packages` installs it")
    folder = site.folder / "prometheus"
    folder.mkdir()
    addresses = {name: role.address for name, role in site.roles.items()}
    configuration = write_configuration(folder, scale, addresses)
    port = free_port()
    log = folder / "prometheus.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [program, f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    site.prometheus = f"http://127.0.0.1:{port}"
    try:
        _await_ready(site.prometheus, process, log)
        yield
    finally:
        process.kill()
        process.wait()


def _await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            _get(f"{url}/-/ready")
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise DrillError(
                    f"prometheus does not start ({error}):\n{log.read_text()[-2_000:]}"
                ) from error
            time.sleep(_LOOK_SECONDS)


async def tidecast(site: Site, *command: str) -> str:
    """What a command says that an operator runs.

    Raises:
        DrillError: it fails.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream", *command, cwd=ROOT, env=environment(site.settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said = (await process.communicate())[0].decode()
    if process.returncode:
        raise DrillError(f"tidecast {' '.join(command)} failed:\n{said}")
    return said


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return str(answer.read().decode())
