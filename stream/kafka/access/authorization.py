"""What a broker does not allow whom it knows, in words.

A topic that one may not see looks like one that is not there, and a broker does not tell which it
is. What it refuses is asked for by name here, without being made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.metadata import MetadataRequest

from stream.settings import Settings

_KINDS = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "consumer group",
    ClusterAuthorizationFailedError: "cluster",
}
TO_DO = "`tidecast topics acls` lists who has to be allowed what"


async def refused(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> list[str]:
    """Those of the topics that the broker does not let us see, whether they are there or not.

    Raises:
        KafkaError: it does not answer.
    """
    asked = MetadataRequest(sorted(topics), allow_auto_topic_creation=False)
    answer: Any = await admin._send_request(asked)
    return [name for code, name, *_ in answer.topics if code == TopicAuthorizationFailedError.errno]


def who(settings: Settings) -> str:
    """As whom the brokers know us, as far as we can tell."""
    if settings.kafka_username:
        return repr(settings.kafka_username)
    return "the owner of kafka_cert_file" if settings.kafka_cert_file else "us"


def worded(settings: Settings, error: BaseException) -> str | None:
    """What a broker did not allow, and what to do; None where the error says something else."""
    if not isinstance(error, tuple(_KINDS)):
        return None
    kind = next(word for type_, word in _KINDS.items() if isinstance(error, type_))
    named = _named(error)
    return (
        f"the brokers do not allow {who(settings)} what this needs "
        f"({kind}{': ' + named if named else ''}); {TO_DO}"
    )


def told(settings: Settings, error: BaseException) -> str:
    """An error in a word or a line, with what to do where it is a refusal."""
    return worded(settings, error) or str(error) or type(error).__name__


def _named(error: KafkaError) -> str:
    """What the error is about, where it says so."""
    told = error.args[0] if error.args else ""
    return told if isinstance(told, str) else ", ".join(sorted(map(str, told)))
