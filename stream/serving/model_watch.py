"""What `model.updates` says of one model, now and from now on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from aiokafka import ConsumerRecord

from stream.kafka.watch import Watch
from stream.settings import Settings
from topics.catalogue import MODEL_UPDATES
from topics.codecs import DecodeError
from topics.records import ModelUpdate

log = logging.getLogger(__name__)


class Taker(Protocol):
    """Who is told of updates, in the watch's thread."""

    def take(self, update: ModelUpdate) -> None:
        """An update that names the model."""

    def refuse(self, reason: str) -> None:
        """An update that cannot be read, and why."""


class ModelWatch:
    """Follows `model.updates` for one model.

    Attributes:
        updates: of the model, when the watch was made, the latest last.

    Args:
        settings: the broker.
        name: of the model.

    Raises:
        BrokerError: no broker answers, or the topic is missing.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._name = name
        self._taker: Taker | None = None
        self.updates: list[ModelUpdate] = []
        self._watch = Watch(settings, MODEL_UPDATES, self._take_in)

    def start(self, taker: Taker) -> None:
        """Tells `taker` of the updates that come from now on, in a thread of their own."""
        self._taker = taker
        self._watch.start()

    def stop(self) -> None:
        """Tells of no more; one that is being taken is not waited for."""
        self._watch.stop()

    def _take_in(self, records: Sequence[ConsumerRecord]) -> None:
        if self._taker is None:
            self.updates += self._decode(records, log.error)
            return
        # What came in between is superseded already.
        for update in self._decode(records, self._taker.refuse)[-1:]:
            self._taker.take(update)

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
