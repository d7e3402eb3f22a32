"""The roles as processes of their own: started, watched, stopped.

A role is `tidecast ROLE` with its settings in the environment. Its output goes to a
file of its own in the run's folder. None outlives the process that started it
(`stream.processes.children`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from stream.http.listening import free_port
from stream.processes.children import Child
from stream.secret import read_secret
from stream.settings import PREFIX, Settings

_STOP_SECONDS = 180.0  # a busy machine takes its time; a second Ctrl-C of `up` does not wait
_ANSWER_SECONDS = 30.0
_TAIL = 12


class RoleProcess:
    """One role as a child process.

    Attributes:
        role: its name.
        settings: what it is given, but for the address of its metrics and its folder.
        metrics_url: where it exposes its metrics.

    Args:
        role: its name.
        settings: what it is given, but for the address of its metrics and its folder.
        folder: gets its log and its data.
        needs: children that are not to end before it, such as its broker.
    """

    def __init__(
        self, role: str, settings: Settings, folder: Path, needs: Sequence[Child] = ()
    ) -> None:
        port = free_port()
        self.role = role
        self.settings = settings
        self._token = read_secret("http_token", settings.http_token, settings.http_token_file)
        self.metrics_url = f"http://127.0.0.1:{port}/metrics"
        self.log = folder / f"{role}.log"
        environment = {**inherited(), **settings.environment()}
        environment[PREFIX + "METRICS_PORT"] = str(port)
        environment[PREFIX + "METRICS_HOST"] = "127.0.0.1"
        environment[PREFIX + "DATA_DIR"] = str(folder / role)
        with self.log.open("wb") as sink:
            self._process = Child(
                [sys.executable, "-m", "stream", role],
                outlived_by=needs,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._process.poll()

    def metrics(self) -> dict[str, float]:
        """What it exports now, by name, labels left out (their values are added up).

        Empty while it does not answer yet.
        """
        found: dict[str, float] = {}
        for name, value in self._samples():
            found[name] = found.get(name, 0.0) + value
        return found

    def samples(self, name: str) -> list[float]:
        """A metric's values now, one for each combination of its labels."""
        return [value for found, value in self._samples() if found == name]

    def _samples(self) -> list[tuple[str, float]]:
        try:
            asked = urllib.request.Request(self.metrics_url)
            if self._token:
                asked.add_header("Authorization", f"Bearer {self._token.reveal()}")
            with urllib.request.urlopen(asked, timeout=_ANSWER_SECONDS) as answer:
                text = answer.read().decode()
        except OSError:
            return []
        return [
            (sample.name, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    @property
    def has_joined(self) -> bool:
        """Whether it has been given partitions to work on."""
        return self.metrics().get(f"tidecast_{self.role}_partitions", 0) > 0

    def tail(self) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL:])

    def terminate(self) -> None:
        """Asks it to finish what is in flight and end."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float) -> int:
        """Its exit code; kills it at `deadline` (`time.monotonic()`)."""
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def stop_all(roles: list[RoleProcess]) -> dict[str, int]:
    """Stops the roles, those upstream first, and returns each one's exit code."""
    deadline = time.monotonic() + _STOP_SECONDS
    for role in roles:
        role.terminate()
    return {role.role: role.wait(deadline) for role in roles}


def inherited() -> dict[str, str]:
    """The environment of this process without settings, for those are passed on complete."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
