"""The embedded broker: the binary of the package `noida-db`, which speaks Kafka's protocol.

It keeps everything in memory and saves it now and then: for development, demonstrations and tests.
Production runs Apache Kafka.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stream.http.listening import free_port
from stream.kafka.broker import BrokerError
from stream.processes.children import Child

_START_SECONDS = 120.0  # a busy machine takes its time
_SAVE_SECONDS = 10.0
_TAIL = 5


def binary() -> Path:
    """The embedded broker's program.

    Raises:
        BrokerError: the package is not installed, or not for this platform.
    """
    package = importlib.util.find_spec("noida_db")
    if package is None or package.origin is None:
        raise BrokerError(
            "the embedded broker is not installed: pip install 'tidecast[demo]', or run Apache "
            "Kafka and name it with --kafka"
        )
    for name in ("noida-db", "noida-db.exe"):
        program = Path(package.origin).with_name(name)
        if program.is_file():
            if not os.access(program, os.X_OK):
                program.chmod(0o755)
            return program
    raise BrokerError(
        "noida-db has no program for this platform; run Apache Kafka and name it with --kafka"
    )


def command(port: int, folder: Path, host: str = "127.0.0.1") -> list[str]:
    """The command line that runs the embedded broker in the foreground."""
    return [
        str(binary()), "start", "--only", "kafka", "--host", host,
        "--kafka-port", str(port), "--data-dir", str(folder),
    ]  # fmt: skip


@dataclass(frozen=True)
class Embedded:
    """An embedded broker that has been started.

    Attributes:
        address: where it answers, or will.
        process: it.
        log: what it has to say.
    """

    address: str
    process: Child
    log: Path

    def wait(self) -> None:
        """Returns once it answers.

        Raises:
            BrokerError: it did not come up; says why.
        """
        host, port = self.address.split(":")
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.02)
        raise BrokerError(
            f"the embedded broker did not open port {port}; its last lines:\n"
            + last_lines(self.log)
        )


@contextmanager
def embedded(
    folder: Path, port: int | None = None, save: bool = False
) -> Iterator[tuple[str, Child]]:
    """A running embedded broker: its address, and its process. `started`, and waited for.

    Raises:
        BrokerError: it did not come up; says why.
    """
    with started(folder, port, save) as broker:
        broker.wait()
        yield broker.address, broker.process


@contextmanager
def started(folder: Path, port: int | None = None, save: bool = False) -> Iterator[Embedded]:
    """An embedded broker that is on its way. Stopped on leaving.

    It does not outlive this process, however that ends.

    Args:
        folder: for its data and its log; made if missing.
        port: any free one when not given.
        save: has it write what it holds to the disk before it ends, for up to ten seconds; else
            the last second or two are lost.

    Raises:
        BrokerError: its port or its folder cannot be had; says why.
    """
    port = port or free_port()
    _see_that_it_is_free(port)
    output = log_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sink = output.open("wb")
    except OSError as error:
        raise BrokerError(
            f"the embedded broker's folder {folder} cannot be written to ({error.strerror}); name "
            "another, with --folder or --logs"
        ) from error
    patience = _SAVE_SECONDS if save else 0.0
    with sink:
        process = Child(
            command(port, folder), patience=patience, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        yield Embedded(f"127.0.0.1:{port}", process, output)
    finally:
        _end(process, patience)


def log_file(folder: Path) -> Path:
    """Where the embedded broker of a folder writes what it has to say."""
    return folder / "broker.log"


def last_lines(output: Path) -> str:
    """The last lines of the embedded broker's log."""
    return "\n".join(output.read_text(errors="replace").strip().splitlines()[-_TAIL:])


def _see_that_it_is_free(port: int) -> None:
    # Whoever has it would be taken for the broker that is about to start.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BrokerError(
                f"the embedded broker cannot listen on 127.0.0.1 port {port} ({error.strerror}); "
                "name another with --port, or end who has it"
            ) from error


def _end(process: Child, patience: float) -> None:
    """Ends it; what it holds is written to the disk only where there is patience."""
    if patience > 0:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    process.kill()
    process.wait()
