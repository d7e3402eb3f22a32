"""How the roles are, as the broker tells it: who is alive, how far each has come, how late.

A role is late by the time that the oldest message it has not worked off has waited, by that
message's Kafka timestamp: messages alone do not say whether a second or an hour is behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream.kafka import groups
from stream.kafka.broker import connect_admin, partitions
from stream.kafka.reader import position, reader
from stream.settings import Settings
from topics.catalogue import CATALOGUE, DEAD_LETTERS

# The roles that work as consumer groups, in order of the flow.
ROLES = ("tracker", "historian", "forecaster", "ranker", "scorer")
_FETCH_SECONDS = 2.0
NOTHING = 1 << 64  # a timestamp that no message can have


def reads(role: str) -> list[str]:
    """The topics that a role's group works off.

    No part of them are small ones, which each worker reads, and what the role writes itself: the
    scorer reads its ledger when it is given a partition, and its scores in another group.
    """
    return [
        topic.name
        for topic in CATALOGUE.values()
        if role in topic.readers and role not in topic.writers and topic.partitioned
    ]


@dataclass(frozen=True)
class Standing:
    """Where a role is.

    `lag_seconds` is None where the oldest waiting message could not be fetched; `committed` is
    False where its group has never committed anything.
    """

    members: int
    committed: bool
    read: int
    lag: int
    lag_seconds: float | None


class Roles:
    """Asks the broker about each role. Connects when first asked, and anew after an error."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: dict[str, list[TopicPartition]] = {}

    async def look(self) -> tuple[dict[str, Standing], int]:
        """Each role's standing, and how many messages `dead.letters` holds.

        Raises:
            KafkaError, OSError: the broker does not answer.
            BrokerError: it does not, or topics are missing.
        """
        admin, consumer = await self._connected()
        every = [place for places in self._partitions.values() for place in places]
        begins = await consumer.beginning_offsets(every)
        ends = await consumer.end_offsets(every)
        standings = {
            role: await self._standing(admin, consumer, role, begins, ends) for role in ROLES
        }
        letters = self._partitions[DEAD_LETTERS.name]
        return standings, sum(ends[place] - begins[place] for place in letters)

    async def close(self) -> None:
        """Disconnects."""
        consumer, admin = self._consumer, self._admin
        self._consumer = self._admin = None
        if consumer is not None:
            await consumer.stop()
        if admin is not None:
            await admin.close()

    async def _connected(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._admin is None or self._consumer is None:
            names = {DEAD_LETTERS.name, *(name for role in ROLES for name in reads(role))}
            self._partitions = {name: [] for name in names}
            for place in await partitions(self._settings, names):
                self._partitions[place.topic].append(place)
            self._admin = await connect_admin(self._settings)
            # A fetch brings one message or one batch of them, however little is asked for.
            self._consumer = reader(
                self._settings,
                idle_seconds=0.25,
                max_partition_fetch_bytes=1,
                auto_offset_reset="earliest",
            )
            await self._consumer.start()
        return self._admin, self._consumer

    async def _standing(
        self,
        admin: AIOKafkaAdminClient,
        consumer: AIOKafkaConsumer,
        role: str,
        begins: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> Standing:
        group = self._settings.group(role)
        listed = await groups.committed(admin, group)
        places = {}
        committed = False
        for place in (place for name in reads(role) for place in self._partitions[name]):
            offset = listed.get(place, -1)
            committed = committed or offset >= 0
            places[place] = max(offset, begins[place])  # what was trimmed unread is no lag
        behind = {place: at for place, at in places.items() if at < ends[place]}
        oldest = await self._oldest(consumer, behind, ends)
        waiting = {place: at for place, at in behind.items() if oldest.get(place) != NOTHING}
        return Standing(
            await groups.members(admin, group),
            committed,
            sum(places.values()),
            sum(ends[place] - at for place, at in waiting.items()),
            _waited(waiting, oldest),
        )

    async def _oldest(
        self,
        consumer: AIOKafkaConsumer,
        behind: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        """Kafka timestamps of the first messages from these offsets on, as far as they are known.

        It is `NOTHING` where up to the end there are only markers of transactions, or what was
        aborted: no role has anything to do there, whether its offset is committed behind it or not.
        """
        oldest: dict[TopicPartition, int] = {}
        if not behind:
            return oldest
        consumer.assign(list(behind))
        for place, offset in behind.items():
            consumer.seek(place, offset)
        deadline = time.monotonic() + _FETCH_SECONDS
        while len(oldest) < len(behind) and time.monotonic() < deadline:
            missing = [place for place in behind if place not in oldest]
            fetched = await consumer.getmany(*missing, timeout_ms=200, max_records=len(missing))
            for place, records in fetched.items():
                oldest[place] = records[0].timestamp
            for place in missing:
                if place not in oldest and (position(consumer, place) or 0) >= ends[place]:
                    oldest[place] = NOTHING
            await asyncio.sleep(0)
        consumer.assign([])
        return oldest


def _waited(
    waiting: Collection[TopicPartition], oldest: Mapping[TopicPartition, int]
) -> float | None:
    """Seconds for which the oldest of the waiting messages has waited."""
    known = [oldest[place] for place in waiting if place in oldest]
    if waiting and not known:
        return None
    return max(0.0, time.time() - min(known) / 1000) if known else 0.0
