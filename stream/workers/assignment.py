"""The partitions that a worker of an ingest role has: their states, and the logs that they are of.

    assigned        the log that was read? ─┬─ yes: state of what is committed, then on from there
                                            ├─ no: begun anew
                                            └─ nothing is committed: the same, but told of only
                                               where there is something of another log
    records come    the same once a second, of those that would be taken in
    out of range    below the log's beginning: records are lost, and it goes on behind them
                    beyond its end: begun anew
    given up        kept until it is known who has them: most come back at once

A topic that was made anew, restored or cut off has another log (`stream.kafka.logs`). The state is
a function of the log, so the partition is begun anew: from the newest checkpoint whose last record
is in the log as it is now, else from nothing at its beginning, and all from there on is published.
Kafka forgets what was committed on a topic that is deleted, so what tells of another log then is
what this worker had of it, or a checkpoint.
What is in flight of the old log is waited for first, and where work begins is committed at once, so
that no offset of the old log is committed afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from stream.checkpoints.recovery import Progress, Recovery
from stream.kafka.broker import retried
from stream.kafka.logs import Logs, Verdict, others
from stream.kafka.marks import Point
from stream.kafka.reader import is_there
from stream.kafka.resuming import tell_lost, tell_replaced
from stream.telemetry.notices import Notices
from stream.workers.handler import Metrics, PartitionHandler
from stream.workers.publishing.delivery import Delivery
from stream.workers.publishing.output import Output
from topics.heartbeat import is_heartbeat

log = logging.getLogger(__name__)

# How long a log that was looked at is believed to be the same. For another one to slip in, a topic
# would have to be deleted, made again and grown past its old length between two fetches.
_TRUSTED_SECONDS = 1.0
_IDLE_SECONDS = 10.0  # the same where no record comes that would be taken in


class Partition:
    """A handler, how far it has come, and the offset from which its outputs are published.

    Attributes:
        point: up to where its records are taken in.
        looked_at: when its log was last seen to be the one that was read, monotonic.
        moved: whether work on it begins elsewhere than where was committed.
    """

    def __init__(
        self,
        handler: PartitionHandler,
        point: Point,
        emit_from: int,
        progress: Progress,
        moved: bool = False,
    ) -> None:
        self.moved = moved
        self.handler = handler
        self.point = point
        self.emit_from = emit_from
        self.last_record = self.looked_at = time.monotonic()
        self._progress = progress
        self._counted = dict(handler.counters)
        progress.reached(point.offset)

    def process(self, records: Sequence[ConsumerRecord], metrics: Metrics) -> list[Output]:
        """The outputs of the records that are to be published; earlier ones rebuild the state."""
        if any(not is_heartbeat(record) for record in reversed(records)):
            self.last_record = time.monotonic()
        self.point = Point.after(records[-1])
        silent = 0
        if records[0].offset < self.emit_from:
            silent = sum(record.offset < self.emit_from for record in records)
            self.handler.process(records[:silent])
            self.handler.noticed.clear()  # told when they were new
            metrics.rebuilt.inc(silent)
            self._counted = dict(self.handler.counters)
        fresh = records[silent:]
        outputs = self.handler.process(fresh) if fresh else []
        metrics.records.inc(len(fresh))
        for result, total in self.handler.counters.items():
            metrics.results.labels(result).inc(total - self._counted.get(result, 0))
        self._counted = dict(self.handler.counters)
        return outputs

    def come_to(self, offset: int) -> None:
        """All before `offset` is taken in; what lies behind the last record is none."""
        self.point = Point(max(offset, self.point.offset), self.point.mark)
        self._progress.reached(self.point.offset)


class Assignment:
    """The partitions of a worker.

    Attributes:
        partitions: those that it has.
        tenure: counts how often they were given or taken; what was fetched before is stale.

    Args:
        consumer: started, with `auto_offset_reset="none"`.
        delivery: of what the partitions say.
        logs: looks at the topic.
        recovery: has their checkpoints.
        notices: is told what was lost and replaced.
        new_handler: makes the handler of a partition, given its number.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        delivery: Delivery,
        logs: Logs,
        recovery: Recovery,
        notices: Notices,
        new_handler: Callable[[int], PartitionHandler],
    ) -> None:
        self.partitions: dict[TopicPartition, Partition] = {}
        self.tenure = 0
        self._consumer = consumer
        self._delivery = delivery
        self._logs = logs
        self._recovery = recovery
        self._notices = notices
        self._new_handler = new_handler
        self._given_up: dict[TopicPartition, Partition] = {}  # until it is known who has them
        self._out_of_range: dict[TopicPartition, int] = {}  # offsets that the broker refused
        self._absent: set[TopicPartition] = set()  # assigned, but the topic has none of the number

    async def take_on(self, sources: Sequence[TopicPartition]) -> None:
        """Makes these the worker's partitions, and sends its reader to where they begin.

        Raises:
            KafkaError: the broker refuses, or is away.
        """
        committed = await self._committed(sources)
        logs = await self._logs.look(committed)
        own = {source: self._given_up[source] for source in sources if source in self._given_up}
        for source in others(await self._logs.look({s: had.point for s, had in own.items()})):
            if source in committed:
                del own[source]  # somebody has begun the other log since
            else:
                logs[source] = Verdict.OTHER
        firsts = await self._logs.firsts(sources)
        taken_on = await asyncio.gather(
            *(
                self._state_of(
                    source, first, committed.get(source), logs.get(source, Verdict.UNKNOWN),
                    own.get(source),
                )
                for source, first in firsts.items()
            )
        )  # fmt: skip
        # From here on without a pause: whatever was fetched until now is stale, and nothing that
        # is fetched from the beginnings is dropped with it.
        self.tenure += 1
        self._recovery.forget(source.partition for source in self._given_up.keys() - firsts.keys())
        # What this worker had of a topic that is not there tells of another log, once it is again.
        for source in [s for s in self._given_up if is_there(self._consumer, s)]:
            del self._given_up[source]
        self._out_of_range.clear()
        self._delivery.take_on({source: committed.get(source, Point(0)) for source in firsts})
        self.partitions = dict(zip(firsts, taken_on, strict=True))
        for source, partition in self.partitions.items():
            self._consumer.seek(source, partition.point.offset)
        self._note_absent(set(sources) - firsts.keys())
        await self._delivery.begin_anew(
            {source: own.point for source, own in self.partitions.items() if own.moved}
        )

    def give_up(self, revoked: Iterable[TopicPartition]) -> Mapping[TopicPartition, Partition]:
        """Takes partitions away, and returns those: it is not known yet who has them next."""
        self.tenure += 1
        taken = {s: self.partitions.pop(s) for s in revoked if s in self.partitions}
        self._given_up |= taken
        return taken

    def refuse(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The broker says that these offsets, which were to be fetched, are out of range."""
        self._out_of_range.update(offsets)

    async def check(self, fetched: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        """Sees that what was fetched is of the logs that were read so far.

        What is not is taken out of it, and its partition begun anew.

        Raises:
            KafkaError: the broker refuses, or is away while the role stops.
        """
        await retried(
            lambda: self._check(fetched), "logs could not be looked at", self._delivery.stopping
        )

    async def _check(self, fetched: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        if self._absent and await self._logs.firsts(self._absent):
            await self._delivery.drain()
            self.give_up(list(self.partitions))
            await self.take_on(sorted(self._consumer.assignment()))
            fetched.clear()
            return
        anew = await self._out_of_their_range()
        now = time.monotonic()
        due = {
            source: partition.point
            for source, partition in self.partitions.items()
            if now - partition.looked_at
            > (_TRUSTED_SECONDS if fetched.get(source) else _IDLE_SECONDS)
        }
        anew |= others(await self._logs.look(due))
        for source in due:
            self.partitions[source].looked_at = now
        if anew:
            for source in anew:
                fetched.pop(source, None)
            await self._begin_anew(anew)

    async def _out_of_their_range(self) -> set[TopicPartition]:
        """Those partitions of which more was read than there is; others are led to what is left."""
        beyond = set()
        for source, offset in list(self._out_of_range.items()):
            if source in self.partitions and await self._consumer.position(source) == offset:
                first = (await self._logs.firsts([source])).get(source)
                if first is not None and offset < first:
                    await self._pass_over(source, offset, first)
                elif first is not None:
                    beyond.add(source)
            del self._out_of_range[source]
        return beyond

    async def _pass_over(self, source: TopicPartition, start: int, first: int) -> None:
        """Goes on at the log's beginning: what was to be read before is gone."""
        self.partitions[source].point = Point(first)
        self._consumer.seek(source, first)
        tell_lost(self._notices, source, start, first)
        if first > self._delivery.committed(source):
            await self._delivery.drain()
            await self._delivery.begin_anew({source: Point(first)})

    async def _begin_anew(self, sources: Iterable[TopicPartition]) -> None:
        """Begins partitions anew whose logs are others than those that were read."""
        await self._delivery.drain()
        for source, first in (await self._logs.firsts(sources)).items():
            partition = await self._anew(source, first, self.partitions[source].point.offset)
            self.partitions[source] = partition
            self._consumer.seek(source, partition.point.offset)
            await self._delivery.begin_anew({source: partition.point})

    async def _committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Point]:
        """What the group has committed of those of which it has committed anything."""
        # aiokafka's `committed` leaves the metadata away.
        found = await self._consumer._coordinator.fetch_committed_offsets(sources)
        return {source: Point.committed(what) for source, what in found.items()}

    async def _state_of(
        self,
        source: TopicPartition,
        first: int,
        committed: Point | None,
        verdict: Verdict,
        own: Partition | None,
    ) -> Partition:
        """A partition's state as this worker had it, or else from a checkpoint, or else empty.

        Args:
            first: offset that its log begins at.
            verdict: whether that is the log in which the offset was committed.
            own: as it was given up.
        """
        if verdict is Verdict.OTHER:
            had = own.point if committed is None and own is not None else committed
            return await self._anew(source, first, had and had.offset)
        if committed is None:
            return await self._anew(source, first, None)
        began = time.monotonic()
        number, emit_from = source.partition, committed.offset
        if own is not None and own.point.offset <= emit_from:
            handler, start = own.handler, own.point
        else:
            handler, start, foreign = await self._recovery.restored(
                number, lambda: self._new_handler(number), emit_from
            )
            if foreign is not None and verdict is not Verdict.SAME:
                return await self._anew(source, first, emit_from)
        needed = start.offset or emit_from
        if needed < first:
            tell_lost(self._notices, source, needed, first)
        if start.offset < first:
            start = Point(first)
        progress = Progress(number, start.offset, emit_from, self._recovery.metrics, began)
        return Partition(handler, start, emit_from, progress, moved=0 < emit_from < first)

    async def _anew(self, source: TopicPartition, first: int, was: int | None) -> Partition:
        """The state of a partition of whose log nothing is committed, and where it begins.

        Args:
            first: offset that the log begins at.
            was: how far another log had been read; None where none is known of, which a checkpoint
                may be.
        """
        began = time.monotonic()
        number = source.partition
        handler, start, foreign = await self._recovery.restored(
            number, lambda: self._new_handler(number), None
        )
        if start.offset < first:
            start = Point(first)
        was = foreign if was is None else was
        if was is not None:
            tell_replaced(self._notices, source, was, start.offset)
        progress = Progress(number, start.offset, start.offset, self._recovery.metrics, began)
        moved = was is not None or start.offset > first
        return Partition(handler, start, start.offset, progress, moved)

    def _note_absent(self, absent: set[TopicPartition]) -> None:
        """Leaves partitions alone that the topic has not, until it has them."""
        for source in self._absent - absent:
            self._consumer.resume(source)
        for source in absent:
            self._consumer.pause(source)
        for topic, number in sorted(absent - self._absent):
            log.warning("%s/%d is not there any more; it is waited for", topic, number)
        self._absent = absent
