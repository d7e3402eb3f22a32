"""Brokers of Apache Kafka as processes: one, or a cluster of three, each with its log on disk."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.apache_kafka import artefacts, properties
from stream.http.listening import free_port
from stream.kafka.broker import BrokerError
from stream.processes.children import Child

# The listener that clients on the host come in by.
CLIENTS = "HOST"
_START_SECONDS = 180.0  # a busy machine takes its time
_STOP_SECONDS = 60.0  # as Compose gives it
_TAIL = 12


@dataclass(eq=False)
class Broker:
    """One broker: formatted once, then started, stopped, killed and started again.

    Attributes:
        node: where it is.
        options: of its virtual machine.
        log: what it has to say.
        process: it, while it runs and after; None before its first start.
    """

    node: properties.Node
    options: Sequence[str]
    log: Path
    _settings: Path
    process: Child | None = field(default=None)

    @property
    def address(self) -> str:
        """Where clients find it."""
        there = self.node.ports
        return self.node.address(CLIENTS if CLIENTS in there else next(iter(there)))

    def start(self) -> None:
        """Starts it, its log going on where it was; `wait` sees it answer."""
        if self.process is not None:
            self.process.wait()  # the folder is its, until it is gone
        with self.log.open("ab") as sink:
            self.process = Child(
                artefacts.java("kafka.Kafka", [str(self._settings)], self.options),
                patience=_STOP_SECONDS, stdout=sink, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def wait(self) -> None:
        """Returns once it answers, at each of its listeners.

        Raises:
            BrokerError: it ended, or does not answer; has its last lines.
        """
        closed = list(self.node.ports.values())
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.is_running:
            closed = [port for port in closed if not _is_open(port)]
            if not closed:
                return
            time.sleep(0.05)
        raise BrokerError(
            f"broker {self.node.number} of Apache Kafka did not open {closed}; its last lines:\n"
            f"{self.last_lines()}"
        )

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal, where it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self) -> None:
        """Ends it in order: leaders move, the log is flushed."""
        self.signal(signal.SIGTERM)
        if self.process is not None:
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def last_lines(self) -> str:
        """The last lines that it said."""
        return "\n".join(self.log.read_text(errors="replace").strip().splitlines()[-_TAIL:])


@dataclass(frozen=True)
class Cluster:
    """Brokers that hold the same log among them."""

    brokers: Sequence[Broker]

    @property
    def address(self) -> str:
        """Where clients begin: all of its brokers, so that one may be away."""
        return ",".join(broker.address for broker in self.brokers)


@contextmanager
def running(
    folder: Path,
    count: int = 1,
    *,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    listeners: Iterable[str] = (),
    more: Mapping[str, str] | None = None,
    format_with: Sequence[str] = (),
) -> Iterator[Cluster]:
    """A cluster of Apache Kafka that answers. Killed on leaving.

    It does not outlive this process, however that ends.

    Args:
        folder: for its logs; made if missing. What an earlier cluster left there is gone on with,
            if that had as many brokers.
        count: how many brokers.
        port: that clients come in by, of the first broker; the others have those after it. Free
            ones when not given.
        environment: of a broker's container; Compose's when not given.
        listeners: names of further ones; `more` says what is spoken there
            (`listener.security.protocol.map`).
        more: properties in the place of Compose's, or beside them.
        format_with: further arguments of the formatting, such as `--add-scram`.

    Raises:
        BrokerError: it did not come up; says why.
        UnavailableError: Apache Kafka cannot be had here; says why.
    """
    given = properties.compose().environment if environment is None else environment
    names = [*properties.listeners(given), *listeners]
    nodes = [
        properties.Node(
            number,
            _ports(names, None if port is None else port + number - 1),
            folder / str(number),
        )
        for number in range(1, count + 1)
    ]
    with ExitStack() as stack:
        brokers = []
        for node in nodes:
            broker = _formatted(
                node, properties.of_node(node, nodes, more or {}, given), format_with
            )
            stack.callback(broker.kill)
            broker.start()
            brokers.append(broker)
        for broker in brokers:
            broker.wait()
        yield Cluster(brokers)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ports(listeners: Iterable[str], clients: int | None) -> dict[str, int]:
    ports = {name: free_port() for name in listeners}
    return ports if clients is None else ports | {CLIENTS: clients}


def _formatted(
    node: properties.Node, given: Mapping[str, str], format_with: Sequence[str]
) -> Broker:
    node.folder.parent.mkdir(parents=True, exist_ok=True)
    settings = node.folder.with_suffix(".properties")
    properties.write(given, settings)
    told = [
        "format", "--cluster-id", properties.compose().cluster_id, "--config", str(settings),
        "--ignore-formatted", *format_with,
    ]  # fmt: skip
    done = subprocess.run(
        artefacts.java("kafka.tools.StorageTool", told, artefacts.SHORT_LIVED),
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise BrokerError(f"Apache Kafka could not format {node.folder}: {done.stderr.strip()}")
    options = [*properties.compose().heap, *artefacts.SHORT_LIVED]
    return Broker(node, options, node.folder.with_suffix(".log"), settings)
