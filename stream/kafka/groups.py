"""What a broker knows of a consumer group: how far it has come, and who is in it.

A group is one broker's to answer for, its coordinator. That may be on its way: a cluster makes the
topic that it keeps groups in when it is first asked about one, and moves a group when a broker
ends. Then it is asked again; what does not pass is raised as it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    NodeNotReadyError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.admin import (
    DescribeGroupsRequest_v0,
    DescribeGroupsRequest_v1,
    DescribeGroupsRequest_v2,
)
from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetFetchRequest

_ON_ITS_WAY = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
_PATIENCE = 30.0  # a cluster's first question about a group makes fifty partitions
_PAUSE_SECONDS = 0.2
_Answer = TypeVar("_Answer")
_Described: TypeAlias = (
    DescribeGroupsRequest_v0 | DescribeGroupsRequest_v1 | DescribeGroupsRequest_v2
)


class DescribeGroups(Request[_Described]):
    """Asks who is in a group, in a version whose answer every broker here words alike."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_Described]) -> _Described:
        """The request, as the broker takes it."""
        return request_struct_class([self._group])


async def committed(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """The offsets that a group has committed; partitions where it has not are left out.

    Args:
        admin: connected.
        group: its id; one that nobody has joined yet has committed nothing.

    Raises:
        KafkaError: its coordinator is still on its way after half a minute, or refuses.
    """

    async def ask() -> dict[TopicPartition, int]:
        # Not by the client's own method: it takes the refusal of a whole answer for an empty one.
        answer = await _of_coordinator(admin, group, OffsetFetchRequest(group, None))
        _raise_for(answer.error_code, f"what {group} has committed is not told")
        found: dict[TopicPartition, int] = {}
        for topic, places in answer.topics:
            for number, offset, _, code in places:
                _raise_for(code, f"what {group} has committed of {topic}-{number} is not told")
                if offset >= 0:
                    found[TopicPartition(topic, number)] = offset
        return found

    return await _answered(ask)


async def members(admin: AIOKafkaAdminClient, group: str) -> int:
    """How many workers are in a group.

    Args:
        admin: connected.
        group: its id; nobody is in one that is unknown.

    Raises:
        KafkaError: its coordinator is still on its way after half a minute, or refuses.
    """

    async def ask() -> int:
        answer = await _of_coordinator(admin, group, DescribeGroups(group))
        for code, *_ in answer.groups:
            _raise_for(code, f"the members of {group} are not told")
        return sum(len(described[-1]) for described in answer.groups)

    return await _answered(ask)


async def _of_coordinator(admin: AIOKafkaAdminClient, group: str, request: Request[Any]) -> Any:
    coordinator = await admin.find_coordinator(group)
    try:
        return await admin._client.send(coordinator, request)
    except (NodeNotReadyError, KafkaConnectionError) as error:
        # It has just ended, and the others have not noticed yet.
        raise GroupCoordinatorNotAvailableError(
            f"broker {coordinator}, which keeps {group}, is away"
        ) from error


def _raise_for(code: int, what: str) -> None:
    if code:
        raise for_code(code)(what)


async def _answered(ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return await ask()
        except _ON_ITS_WAY:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
