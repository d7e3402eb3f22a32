"""Where a consumer group goes on, on the partitions that a worker is given.

    committed ─┬─ its log is there still (`stream.kafka.logs`)     there
               ├─ the log is another one                     at its beginning, which is committed
               └─ the log begins behind it: records are lost the same
    nothing                                                  at the beginning

Kafka forgets what was committed on a topic that is deleted. Made again it is read from its
beginning, and a worker that had read of it before tells that the log is another one.

For roles that carry no state of the log from one batch to the next, or rebuild it from what they
read: the ingest roles' states are the business of `stream.workers.assignment`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from stream.kafka.broker import retried
from stream.kafka.logs import Logs, others
from stream.kafka.marks import Point
from stream.settings import Settings
from stream.telemetry.notices import Notices

log = logging.getLogger(__name__)


async def resume(
    consumer: AIOKafkaConsumer,
    settings: Settings,
    notices: Notices,
    had: Mapping[TopicPartition, Point],
) -> dict[TopicPartition, Point]:
    """Sends a consumer to where its group goes on on each of its partitions.

    aiokafka's `seek_to_committed` leaves a partition of which nothing is committed where it stands:
    what was fetched of it early in a rebalance, and skipped then, would never be read.

    Args:
        had: how far this worker had come on partitions that it was given before.

    Returns:
        the places; partitions that there are not any more are left out.

    Raises:
        KafkaError: the broker refuses.
    """
    return await retried(
        lambda: _resume(consumer, settings, notices, had), "partitions could not be taken on"
    )


async def _resume(
    consumer: AIOKafkaConsumer,
    settings: Settings,
    notices: Notices,
    had: Mapping[TopicPartition, Point],
) -> dict[TopicPartition, Point]:
    sources = sorted(consumer.assignment())
    # aiokafka's `committed` leaves the metadata away.
    found = await consumer._coordinator.fetch_committed_offsets(sources)
    committed = {source: Point.committed(what) for source, what in found.items()}
    read = {s: had[s] for s in sources if s in had} | committed
    async with Logs(settings) as logs:
        replaced = others(await logs.look(read))
        firsts = await logs.firsts(sources)
    places = {}
    for source, first in firsts.items():
        point = committed.get(source)
        if source in replaced:
            tell_replaced(notices, source, read[source].offset, first)
        elif point is not None and point.offset < first:
            tell_lost(notices, source, point.offset, first)
        elif point is not None:
            places[source] = point
            continue
        places[source] = Point(first)
    for source, point in places.items():
        consumer.seek(source, point.offset)
    moved = {s: p.committable for s, p in places.items() if s in committed and p != committed[s]}
    if moved:
        try:
            await consumer.commit(moved)
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("partitions were taken away before it was committed where they begin (%s)",
                        error)  # fmt: skip
    return places


def tell_replaced(notices: Notices, source: TopicPartition, was: int, start: int) -> None:
    """Notes that a log is another one than that which was read up to offset `was`."""
    notices.note(
        "log_replaced", source.topic, source.partition,
        f"the log is another one than that which was read up to offset {was}: it is begun anew "
        f"at offset {start}, and what follows is published", offset=start,
    )  # fmt: skip


def tell_lost(notices: Notices, source: TopicPartition, start: int, first: int) -> None:
    """Notes that the records from offset `start` up to before `first` were never read."""
    notices.note(
        "records_lost", source.topic, source.partition,
        f"records {start} to {first - 1} are gone from the topic before they were taken in: they "
        "are lost, and what they belong to is counted short",
        count=first - start, offset=first - 1,
    )  # fmt: skip
