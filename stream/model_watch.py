"""What `model.updates` says, now and from now on.

Every forecaster needs every update, so there is no consumer group: the topic is small and
compacted, and each reads all of it at its start, then follows it in a thread of its own, whose
event loop may wait for a model to load while the role goes on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from stream import broker
from stream.pacing import pace_fetches
from stream.past import reread
from stream.settings import Settings
from topics.catalogue import MODEL_UPDATES
from topics.codecs import DecodeError
from topics.records import ModelUpdate

log = logging.getLogger(__name__)

_SOURCE = TopicPartition(MODEL_UPDATES.name, 0)
_POLL_MS = 200  # how soon a stop is noticed
_IDLE_SECONDS = 0.25  # between two looks at a topic that is nearly always idle
_RETRY_SECONDS = 1.0
_END = 1 << 62


class Taker(Protocol):
    """Who is told of updates, in the watch's thread."""

    def take(self, update: ModelUpdate) -> None: ...

    def refuse(self, reason: str) -> None: ...


class ModelWatch:
    """Follows `model.updates` for one model.

    Attributes:
        updates: of the model, the latest last.

    Args:
        settings: the broker.
        name: of the model.

    Raises:
        BrokerError: no broker answers, or the topic is missing.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._position = 0
        self._stopped = threading.Event()
        self.updates: list[ModelUpdate] = []
        asyncio.run(broker.partitions(settings, [MODEL_UPDATES.name]))

        def take_in(records: Sequence[ConsumerRecord]) -> None:
            self.updates += self._decode(records, log.error)
            self._position = records[-1].offset + 1

        reread(settings, MODEL_UPDATES, _SOURCE.partition, 0, _END, take_in)

    def start(self, taker: Taker) -> None:
        """Tells `taker` of the updates that come from now on, in a thread of their own."""
        threading.Thread(target=self._run, args=(taker,), name="model-watch", daemon=True).start()

    def stop(self) -> None:
        """Tells of no more; one that is being taken is not waited for."""
        self._stopped.set()

    def _run(self, taker: Taker) -> None:
        asyncio.run(self._keep_following(taker))

    async def _keep_following(self, taker: Taker) -> None:
        while not self._stopped.is_set():
            try:
                await self._follow(taker)
            except (KafkaError, OSError) as error:
                log.warning("%s cannot be read (%s); trying again", MODEL_UPDATES.name, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, taker: Taker) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # the topic was made anew
        )
        pace_fetches(consumer, _IDLE_SECONDS)
        async with consumer:
            consumer.assign([_SOURCE])
            consumer.seek(_SOURCE, self._position)
            while not self._stopped.is_set():
                fetched = await consumer.getmany(_SOURCE, timeout_ms=_POLL_MS)
                records = fetched.get(_SOURCE)
                if records:
                    updates = self._decode(records, taker.refuse)
                    self._position = records[-1].offset + 1
                    # What came in between is superseded already.
                    for update in updates[-1:]:
                        taker.take(update)

    def _decode(
        self, records: Sequence[ConsumerRecord], refuse: Callable[[str], None]
    ) -> list[ModelUpdate]:
        """The updates of this model."""
        updates = []
        for record in records:
            if record.value is None:
                continue  # withdrawn: what is served stays, and the next start begins without it
            try:
                update: ModelUpdate = MODEL_UPDATES.codec.decode(record.value)
            except DecodeError as error:
                refuse(
                    f"{MODEL_UPDATES.name} offset {record.offset}: {error}; "
                    "write it with `tidecast models publish`"
                )
                continue
            if update.name == self._name:
                updates.append(update)
        return updates
