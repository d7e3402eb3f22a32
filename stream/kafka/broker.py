"""The topics on a broker: made, described, and looked for before a role begins.

BrokerError(TidecastError)         the broker refused; says what to do
  BrokerAwayError(BrokerError)     nobody answers, which may pass by itself
  TopicsMissingError(BrokerError)  topics are not there, or not yet
  NotAllowedError(BrokerError)     it knows us, and does not allow us what we ask, or not yet
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from stream.kafka.access.authorization import TO_DO, refused, who
from stream.kafka.access.security import connection, why_not
from stream.kafka.administrator import Administrator
from stream.processes import starting
from stream.settings import Settings
from topics.catalogue import CATALOGUE, Topic
from topics.errors import TidecastError

log = logging.getLogger(__name__)

_FIRST_SECONDS = 0.25  # between two looks for a broker; it doubles, for one that starts is soon up
_RETRY_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
_LEADER_SECONDS = 60.0
_BOUNDED_BYTES = 16 << 20
# What a topic takes at once, bytes; where it says nothing, the brokers' message.max.bytes holds.
MESSAGE_LIMIT = "max.message.bytes"
_Answer = TypeVar("_Answer")


class BrokerError(TidecastError):
    """The broker did not start, or refused."""


class BrokerAwayError(BrokerError):
    """Nobody answers, which may pass by itself."""


class TopicsMissingError(BrokerError):
    """Topics are not there, or not yet."""


class NotAllowedError(BrokerError):
    """The broker knows us, and does not allow us what we ask, or not yet."""


_AWAITED = {
    BrokerAwayError: "the broker",
    TopicsMissingError: "the topics",
    NotAllowedError: "the rights to its topics",
}


def may_pass(error: KafkaError) -> bool:
    """Whether the same question may be answered later. aiokafka leaves out its own time-outs."""
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)


async def retried(
    ask: Callable[[], Awaitable[_Answer]],
    trouble: str,
    gives_up: Callable[[], bool] = lambda: False,
) -> _Answer:
    """What a question gives, asked again each second while what speaks against it may pass.

    Args:
        ask: a coroutine function that asks.
        trouble: what cannot be done meanwhile, for the log.
        gives_up: whether it is not asked again; by default it always is.

    Raises:
        KafkaError: one that may not pass, or any once it is given up.
    """
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if not may_pass(error) or gives_up():
                raise
            log.warning("%s (%s); trying again", trouble, error)
            await asyncio.sleep(_AGAIN_SECONDS)


async def create_topics(settings: Settings, bounded: bool = False) -> list[str]:
    """Creates the topics of the catalogue that are missing, and returns their names.

    They can be written to by then: a broker says that a topic is made before it has heard so.

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
        refusals = {
            name: for_code(code)(*message)
            for name, code, *message in response.topic_errors
            if code not in (0, TopicAlreadyExistsError.errno)
        }
        if refusals:
            raise _not_made(settings, refusals)
        await _await_leaders(admin, settings, [topic.name for topic in missing])
    finally:
        await admin.close()
    return [topic.name for topic in missing]


def _not_made(settings: Settings, refusals: Mapping[str, KafkaError]) -> BrokerError:
    """Why a broker did not make topics."""
    if all(isinstance(error, TopicAuthorizationFailedError) for error in refusals.values()):
        return NotAllowedError(
            f"{settings.kafka} does not allow {who(settings)} to create "
            f"{', '.join(sorted(refusals))}; {TO_DO}"
        )
    told = "; ".join(f"{name}: {error}" for name, error in sorted(refusals.items()))
    return BrokerError(f"topics were refused: {told}")


async def _await_leaders(admin: Administrator, settings: Settings, topics: list[str]) -> None:
    """Returns once each partition of new topics has a leader.

    Raises:
        NotAllowedError: they are not for us to see.
        BrokerError: one has none in `_LEADER_SECONDS`.
    """
    deadline = time.monotonic() + _LEADER_SECONDS
    while topics:
        described = await admin.describe_topics(topics)
        hidden = [topic["topic"] for topic in described if _is_hidden(topic)]
        if hidden:
            raise _hidden(settings, hidden)
        without = [topic["topic"] for topic in described if not _is_led(topic)]
        if not without:
            return
        if time.monotonic() > deadline:
            raise BrokerError(
                f"no broker leads all partitions of {', '.join(without)}, {_LEADER_SECONDS:g} s "
                "after they were made; see whether enough brokers are up"
            )
        await asyncio.sleep(_FIRST_SECONDS)


def _is_hidden(described: dict[str, Any]) -> bool:
    return bool(described["error_code"] == TopicAuthorizationFailedError.errno)


def _hidden(settings: Settings, topics: Iterable[str]) -> NotAllowedError:
    return NotAllowedError(
        f"{settings.kafka} does not allow {who(settings)} to see {', '.join(sorted(topics))}, or "
        f"has no such topics, which it would not tell either; {TO_DO}"
    )


def _is_led(described: dict[str, Any]) -> bool:
    partitions = described["partitions"]
    return bool(partitions) and all(one["leader"] >= 0 for one in partitions)


async def connect_admin(settings: Settings) -> Administrator:
    """A connected administration client.

    Raises:
        BrokerError: no broker answers.
    """
    admin = Administrator(**connection(settings))
    try:
        await admin.start()
        if not admin._client.cluster.brokers():
            raise KafkaConnectionError("a broker answers, and tells of none")
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

    Raises:
        BrokerError: it does not, or has not, for as long as `broker_patience`; says what to do.
    """
    needed = {topic.name for topic in CATALOGUE.values() if role in topic.readers + topic.writers}
    await await_topics(settings, needed, role)


async def await_topics(settings: Settings, topics: Iterable[str], who: str) -> list[TopicPartition]:
    """The partitions of topics, once the broker answers, has them all and lets us see them.

    It is waited for, as long as `broker_patience` says: who starts a broker and what reads from it
    together, or sets what is allowed, need not know which is up first.

    Raises:
        BrokerError: it does not, in that time; says what to do.
    """
    wanted = set(topics)
    deadline = time.monotonic() + settings.broker_patience
    pause = _FIRST_SECONDS
    while True:
        try:
            return await partitions(settings, wanted)
        except (BrokerAwayError, TopicsMissingError, NotAllowedError) as error:
            if time.monotonic() > deadline:
                raise
            starting.tell(f"waiting for {_AWAITED[type(error)]}")
            log.warning("%s; the %s waits", error, who)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RETRY_SECONDS)


async def partitions(settings: Settings, topics: Iterable[str]) -> list[TopicPartition]:
    """The partitions of existing topics, in order.

    Raises:
        TopicsMissingError: a topic does not exist.
        NotAllowedError: it does not exist, or is not for us to see: the broker does not tell which.
        BrokerError: no broker answers.
    """
    wanted = sorted(set(topics))
    described = await describe(settings, wanted)
    missing = [topic for topic in wanted if topic not in described]
    if missing:
        raise await absent(settings, missing)
    return [
        TopicPartition(topic, number)
        for topic in wanted
        for number in range(len(described[topic]["partitions"]))
    ]


async def absent(settings: Settings, topics: Iterable[str]) -> BrokerError:
    """Why topics are not among those that a broker tells of.

    Raises:
        BrokerError: no broker answers.
    """
    admin = await connect_admin(settings)
    try:
        hidden = await refused(admin, topics)
    finally:
        await admin.close()
    if hidden:
        return _hidden(settings, hidden)
    return TopicsMissingError(
        f"topics are missing on {settings.kafka}: {', '.join(topics)}; create them with "
        "`tidecast topics create`"
    )


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
    except KafkaError as error:
        if not may_pass(error):
            raise
        raise BrokerAwayError(f"{settings.kafka} stopped answering ({error})") from error
    finally:
        await admin.close()
    return {topic["topic"]: topic for topic in described}


async def configured(settings: Settings, topics: Iterable[str], name: str) -> dict[str, str]:
    """A configuration entry of topics that exist; without those of which the broker does not tell.

    Raises:
        NotAllowedError: we may not ask about some of them.
        BrokerError: no broker answers.
        KafkaError: it stopped answering.
    """
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic, {name: None}) for topic in topics]
    admin = await connect_admin(settings)
    try:
        answers = await admin.describe_configs(asked)
    finally:
        await admin.close()
    resources = [resource for answer in answers for resource in answer.resources]
    hidden = sorted(
        topic for code, _, _, topic, _ in resources if code == TopicAuthorizationFailedError.errno
    )
    if hidden:
        raise NotAllowedError(
            f"{settings.kafka} does not allow {who(settings)} to see the configuration of "
            f"{', '.join(hidden)}; {TO_DO}"
        )
    return {
        topic: value
        for _, _, _, topic, entries in resources
        for entry, value, *_ in entries
        if entry == name and value is not None
    }


def create_topics_now(settings: Settings, bounded: bool = False) -> list[str]:
    """`create_topics` for callers without an event loop."""
    return asyncio.run(create_topics(settings, bounded))
