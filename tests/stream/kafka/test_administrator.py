"""A broker that has just ended is passed over, whichever is drawn first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError
from aiokafka.protocol.metadata import MetadataRequest

from stream.kafka.administrator import Administrator


class Client:
    """Brokers 1 to 3, of which some are away; a real cluster would have to be caught at it."""

    def __init__(self, away: dict[int, Exception]) -> None:
        self.away = away
        nodes = [SimpleNamespace(nodeId=number) for number in (1, 2, 3)]
        self.cluster = SimpleNamespace(brokers=lambda: nodes)

    async def send(self, node: int, _: Any) -> int:
        if node in self.away:
            raise self.away[node]
        return node


def asking(away: dict[int, Exception]) -> Administrator:
    made = Administrator.__new__(Administrator)
    made._client = Client(away)
    return made


@pytest.mark.parametrize("draw", range(10))
async def test_another_broker_answers(draw: int) -> None:
    administrator = asking({1: NodeNotReadyError(), 3: KafkaConnectionError()})
    assert await administrator._send_request(MetadataRequest(None)) == 2


async def test_where_none_answers_that_is_said() -> None:
    administrator = asking({number: NodeNotReadyError() for number in (1, 2, 3)})
    with pytest.raises(NodeNotReadyError):
        await administrator._send_request(MetadataRequest(None))


async def test_no_other_broker_is_asked_for_one() -> None:
    with pytest.raises(NodeNotReadyError):
        await asking({1: NodeNotReadyError()})._send_request(MetadataRequest(None), 1)
