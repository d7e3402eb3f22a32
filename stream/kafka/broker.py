"""The embedded broker, and the topics on any broker.

The embedded broker is the binary of the package `noida-db`, which speaks Kafka's protocol. It
keeps everything in memory and saves it now and then: for development, demonstrations and tests.
Production runs Apache Kafka.

    BrokerError(TidecastError)     the broker did not start, or refused; says what to do
    BrokerAwayError(BrokerError)   nobody answers, which may pass by itself
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    for_code,
)

from stream.kafka.security import connection, why_not
from stream.processes.children import Child
from stream.settings import Settings
from topics.catalogue import CATALOGUE, DEAD_LETTERS, Topic
from topics.errors import TidecastError

log = logging.getLogger(__name__)

_START_SECONDS = 120.0  # a busy machine takes its time
_SAVE_SECONDS = 10.0
_TAIL = 5
_RETRY_SECONDS = 2.0
_BOUNDED_BYTES = 16 << 20


class BrokerError(TidecastError):
    """The broker did not start, or refused."""


class BrokerAwayError(BrokerError):
    """Nobody answers, which may pass by itself."""


def may_pass(error: KafkaError) -> bool:
    """Whether the same question may be answered later. aiokafka leaves out its own time-outs."""
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)


# Below those that systems give to connections: one of these could take a port before its server.
_PORTS = range(16_384, 32_768)
_given: set[int] = set()


def free_port() -> int:
    """A TCP port on the loopback address that nothing listens on, and that was not given before.

    Raises:
        BrokerError: all of them are taken.
    """
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port
    raise BrokerError(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free on 127.0.0.1")


def binary() -> Path:
    """The embedded broker's program.

    Raises:
        BrokerError: the package is not installed, or not for this platform.
    """
    package = importlib.util.find_spec("noida_db")
    if package is None or package.origin is None:
        raise BrokerError("the embedded broker is missing; install it with `pip install noida-db`")
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


@contextmanager
def embedded(
    folder: Path, port: int | None = None, save: bool = False
) -> Iterator[tuple[str, Child]]:
    """A running embedded broker: its address, and its process. Stopped on leaving.

    It does not outlive this process, however that ends.

    Args:
        folder: for its data and its log; made if missing.
        port: any free one when not given.
        save: has it write what it holds to the disk before it ends, for up to ten seconds; else
            the last second or two are lost.

    Raises:
        BrokerError: it did not come up; says why.
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
        _await_port(port, process, output)
        yield f"127.0.0.1:{port}", process
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


def _await_port(port: int, process: Child, output: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise BrokerError(
        f"the embedded broker did not open port {port}; its last lines:\n{last_lines(output)}"
    )


def _end(process: Child, patience: float) -> None:
    """Ends it; what it holds is written to the disk only where there is patience."""
    if patience > 0:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    process.kill()
    process.wait()


async def create_topics(settings: Settings, bounded: bool = False) -> list[str]:
    """Creates the topics of the catalogue that are missing, and returns their names.

    Args:
        bounded: for the embedded broker, which holds everything in memory and saves it whole
            every second or two: each topic keeps its newest few megabytes only.

    Raises:
        BrokerError: no broker, or it refused a topic.
    """
    admin = await connect_admin(settings)
    try:
        existing = set(await admin.list_topics())
        missing = [topic for name, topic in CATALOGUE.items() if name not in existing]
        response = await admin.create_topics(
            [_new_topic(topic, settings, bounded) for topic in missing]
        )
        for name, code, *message in response.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise BrokerError(
                    f"topic {name!r} was refused: {for_code(code).__name__} {message}"
                )
    finally:
        await admin.close()
    return [topic.name for topic in missing]


async def connect_admin(settings: Settings) -> AIOKafkaAdminClient:
    """A connected administration client.

    Raises:
        BrokerError: no broker answers.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
    except KafkaConnectionError as error:
        await admin.close()
        silence = await why_not(settings)
        raise (BrokerAwayError if silence.passing else BrokerError)(
            f"no Kafka broker answers at {settings.kafka} ({silence.why}); start one with "
            "`tidecast broker`, or name yours with --kafka"
        ) from error
    return admin


def _new_topic(topic: Topic, settings: Settings, bounded: bool) -> NewTopic:
    count = settings.partitions if topic.partitioned else 1
    configs = topic.configs()
    if bounded:
        configs |= {
            "cleanup.policy": "delete",  # the embedded broker compacts late, if at all
            "retention.bytes": str(_BOUNDED_BYTES // count),
            "segment.bytes": str(_BOUNDED_BYTES // count // 8),
        }
    return NewTopic(topic.name, count, settings.replication, topic_configs=configs)


async def check_role(settings: Settings, role: str) -> None:
    """Sees that the broker answers and has the topics that a role reads and writes.

    One that is away is waited for, as long as `broker_patience` says.

    Raises:
        BrokerError: it does not, or has not; says what to do.
    """
    needed = {
        topic.name
        for topic in CATALOGUE.values()
        if role in topic.readers + topic.writers or topic is DEAD_LETTERS
    }
    deadline = time.monotonic() + settings.broker_patience
    while True:
        try:
            await partitions(settings, needed)
            return
        except BrokerAwayError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("%s; the %s waits", error, role)
            await asyncio.sleep(_RETRY_SECONDS)


async def partitions(settings: Settings, topics: Iterable[str]) -> list[TopicPartition]:
    """The partitions of existing topics, in order.

    Raises:
        BrokerError: a topic does not exist.
    """
    wanted = sorted(set(topics))
    described = await describe(settings, wanted)
    missing = [topic for topic in wanted if topic not in described]
    if missing:
        raise BrokerError(
            f"topics are missing on {settings.kafka}: {', '.join(missing)}; create them with "
            "`tidecast topics create`"
        )
    return [
        TopicPartition(topic, number)
        for topic in wanted
        for number in range(len(described[topic]["partitions"]))
    ]


async def describe(settings: Settings, topics: Iterable[str]) -> dict[str, Any]:
    """What the broker says of those of the topics that exist, by name.

    Raises:
        BrokerError: no broker answers.
    """
    admin = await connect_admin(settings)
    try:
        # Only what exists is asked about: the question creates a topic on some brokers.
        existing = sorted(set(await admin.list_topics()) & set(topics))
        described = await admin.describe_topics(existing) if existing else []
    finally:
        await admin.close()
    return {topic["topic"]: topic for topic in described}


async def configured(settings: Settings, topic: str, name: str) -> str | None:
    """A configuration entry of a topic that exists; None where the broker does not tell.

    Raises:
        BrokerError: no broker answers.
    """
    admin = await connect_admin(settings)
    try:
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})
        answers = await admin.describe_configs([asked])
    finally:
        await admin.close()
    told = [entry for answer in answers for *_, entries in answer.resources for entry in entries]
    return next((value for entry, value, *_ in told if entry == name), None)


def create_topics_now(settings: Settings, bounded: bool = False) -> list[str]:
    """`create_topics` for callers without an event loop."""
    return asyncio.run(create_topics(settings, bounded))
