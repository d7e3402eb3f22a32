"""Every consumer of tidecast is made here, so that all of them read a log alike.

    fetched bytes -> batches, whatever is in them (`stream.kafka.wire.batches`) -> records
                     └─► of transactions, what was committed

Topics are written by others, by whatever producers they like. What a transaction wrote is given
once it is committed, and what was aborted never is. Until a transaction ends, nothing behind its
first record is given, for order's sake: the *stable end* of a partition is where reading ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher

from stream.kafka.access.security import connection
from stream.kafka.pacing import IDLE_SECONDS, pace_fetches
from stream.kafka.wire import batches
from stream.settings import Settings

COMMITTED = "read_committed"
_CANCEL_SECONDS = 0.1
_close = Fetcher.close


def reader(
    settings: Settings, *, idle_seconds: float = IDLE_SECONDS, **options: Any
) -> AIOKafkaConsumer:
    """A consumer that is not started yet. Its `end_offsets` are stable ends.

    Args:
        settings: the broker.
        idle_seconds: to wait after a fetch that came back empty and early.
        options: of AIOKafkaConsumer, beside the connection.

    Raises:
        CodecError: what producers compress with cannot be read here; says what to install.
    """
    harden()
    chosen = {
        "enable_auto_commit": False,
        "isolation_level": COMMITTED,
    }
    consumer = AIOKafkaConsumer(**connection(settings), **{**chosen, **options})
    pace_fetches(consumer, idle_seconds)
    return consumer


def harden() -> None:
    """Makes every consumer of this process read on whatever is in a batch, and end when told to.

    Raises:
        CodecError: what producers compress with cannot be read here; says what to install.
    """
    batches.harden()
    Fetcher.close = _close_for_good


async def _close_for_good(fetcher: Any) -> None:
    """Ends a fetcher whatever it is at.

    One that is just letting go of its fetches, as when partitions were taken from it, takes its own
    end for theirs: aiokafka's tells it once, and waits for ever.
    """
    fetching = fetcher._fetch_task
    while not fetching.done():
        fetching.cancel()
        await asyncio.wait([fetching], timeout=_CANCEL_SECONDS)
    await _close(fetcher)


def is_there(consumer: AIOKafkaConsumer, source: TopicPartition) -> bool:
    """Whether a topic has a partition, as far as its reader knows: it may have been deleted."""
    return source.partition in (consumer.partitions_for_topic(source.topic) or ())


def position(consumer: AIOKafkaConsumer, source: TopicPartition) -> int | None:
    """Offset of the next record of a partition that is assigned; None while nobody knows.

    All before it has been given, or is none: markers of transactions, what was aborted, what a
    compaction took. `AIOKafkaConsumer.position` waits until somebody knows.
    """
    state = consumer._subscription.subscription.assignment.state_value(source)
    return int(state.position) if state.has_valid_position else None


def stable_end(consumer: AIOKafkaConsumer, source: TopicPartition) -> int | None:
    """Where reading a partition ends for now, as the latest fetch told; None before the first."""
    stable: int | None = consumer.last_stable_offset(source)
    if stable is not None and stable >= 0:
        return stable
    # Brokers without transactions do not tell.
    end: int | None = consumer.highwater(source)
    return end
