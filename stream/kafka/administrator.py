"""An administration client of a cluster, of which a broker may be away.

What any broker can answer aiokafka's client asks of one, whichever it draws, and fails where that
one has just ended: for ten seconds or so a cluster names it yet. This one asks the next.
"""

from __future__ import annotations

import random
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError
from aiokafka.protocol.api import Request


class Administrator(AIOKafkaAdminClient):  # type: ignore[misc]  # it has no types
    """Asks the brokers one after the other, until one answers."""

    async def _send_request(self, request: Request[Any], node_id: int | None = None) -> Any:
        """
        Raises:
            KafkaError: none of them answers, or the one that is asked for does not.
        """
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()]
        random.shuffle(nodes)
        *others, last = nodes if node_id is None else [node_id]
        for node in others:
            try:
                return await self._client.send(node, request)
            except (NodeNotReadyError, KafkaConnectionError):
                continue
        return await self._client.send(last, request)
