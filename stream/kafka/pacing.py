"""Fetches that leave a broker alone which has nothing new.

Kafka holds a fetch back until there is data, for up to `fetch_max_wait_ms`. The embedded broker
answers at once, also with nothing, and aiokafka asks again at once: thousands of requests a
second that keep a core busy on either side. So an empty answer that came early is held here for
a moment instead. Against Kafka, whose empty answers come late, nothing is ever held.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest

# New data is seen this much later at worst; a hundred requests a second cost little.
IDLE_SECONDS = 0.01


def pace_fetches(consumer: AIOKafkaConsumer, idle_seconds: float = IDLE_SECONDS) -> None:
    """Makes `consumer` wait `idle_seconds` after each fetch that came back empty and early."""
    send = consumer._client.send

    async def paced(node_id: int, request: Any, **options: Any) -> Any:
        asked = time.monotonic()
        response = await send(node_id, request, **options)
        if isinstance(request, FetchRequest) and _is_empty(response):
            early = asked + idle_seconds - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
        return response

    consumer._client.send = paced


def _is_empty(response: Any) -> bool:
    """Whether a fetch brought neither records (the last field of a partition) nor an error."""
    return not any(
        error_code or fields[-1]
        for _, partitions in response.topics
        for _, error_code, *fields in partitions
    )
