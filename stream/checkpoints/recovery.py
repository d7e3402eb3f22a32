"""What keeps a worker's state beyond its life: checkpoints written as it goes, and read again.

    given a partition     the newest checkpoint that is not ahead of the committed offset, verified;
                          without one the state before any record. The records from there up to the
                          committed offset are then taken in silently.
    another log           the same, but whatever is committed: the newest checkpoint whose last
                          record is in the log as it is now. What follows is news.
    after a commit        once an interval, a copy of one partition's state is taken between two
                          batches, and written in a thread. Its offset is committed by then.
    before letting go     of a partition, to another worker or for good, the same at once.

A checkpoint is a short cut and no more: whatever is wrong with one, the state is that of the log.
So a store that fails is counted and warned of, and stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from aiokafka import TopicPartition
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.checkpoints.content import Arrays, CheckpointError, check_facts, encode
from stream.checkpoints.store import Checkpoints, Found, is_full
from stream.kafka.logs import Verdict, look
from stream.kafka.marks import Mark, Point
from stream.settings import Settings
from topics.catalogue import Topic

log = logging.getLogger(__name__)

REASONS = (
    "full",  # no room for a new one
    "unwritable",  # the store refused a new one, or it took too long
    "unreachable",  # the store did not answer, or not in time
    "unreadable",  # cut off, altered, or none of ours
    "version",  # of another format
    "foreign",  # of another topic, group or log, or made under other settings
    "ahead",  # of the committed offset, which has gone back
)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PROGRESS_SECONDS = 10.0
_LAST = "last"  # the fact that holds the mark of a checkpoint's last record


class Stateful(Protocol):
    """State of a partition that a checkpoint can hold.

    Attributes:
        depends_on: all beside the log that decides what the state is, settings by their names.
    """

    depends_on: Mapping[str, str]

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of the state, which later batches leave alone."""

    def restore(self, arrays: Arrays) -> None:
        """Makes the state, of which there was none, what was saved."""


S = TypeVar("S", bound=Stateful)


class ForeignLogError(CheckpointError):
    """A checkpoint is of another log than the topic has now."""

    def __init__(self, message: str) -> None:
        super().__init__("foreign", message)


class Restored(NamedTuple, Generic[S]):
    """A partition's state.

    Attributes:
        state: up to `point`.
        point: the start of the log where there was no checkpoint.
        foreign: offset of the newest checkpoint of another log; None where there was none.
    """

    state: S
    point: Point
    foreign: int | None = None


class Metrics:
    """What checkpoints export. The role is told by the job that is scraped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.saved_at = Gauge(
            "tidecast_checkpoint_timestamp_seconds",
            "When a checkpoint last held all that was committed",
            ["partition"], registry=registry,
        )  # fmt: skip
        self.bytes = Gauge(
            "tidecast_checkpoint_bytes", "Of the latest", ["partition"], registry=registry
        )
        self.pause = Histogram(
            "tidecast_checkpoint_pause_seconds", "Time in which no record is taken in",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.write = Histogram(
            "tidecast_checkpoint_write_seconds", "Time to write one, beside the work",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.failures = Counter(
            "tidecast_checkpoint_failures_total", "Checkpoints not written or not used", ["reason"],
            registry=registry,
        )  # fmt: skip
        for reason in REASONS:
            self.failures.labels(reason)
        self.recovery = Gauge(
            "tidecast_recovery_seconds", "How long a partition's state took to be there again",
            ["partition"], registry=registry,
        )  # fmt: skip


@dataclass
class Progress:
    """How far a recovery is, for the log and the metrics.

    Args:
        partition: its number.
        start: the offset that the replay begins at.
        end: the offset from which on the role answers again.
    """

    partition: int
    start: int
    end: int
    metrics: Metrics
    began: float
    _told: float = field(default_factory=time.monotonic)
    _done: bool = False

    def reached(self, offset: int) -> None:
        """Notes that all before `offset` is taken in."""
        if self._done:
            return
        now = time.monotonic()
        seconds = now - self.began
        if offset >= self.end:
            self._done = True
            if self.end:
                self.metrics.recovery.labels(self.partition).set(seconds)
                log.info(
                    "partition %d: state of offset %d after %.1f s, of which %d records replayed",
                    self.partition, self.end, seconds, max(0, self.end - self.start),
                )  # fmt: skip
        elif now - self._told > _PROGRESS_SECONDS:
            self._told = now
            share = (offset - self.start) / max(1, self.end - self.start)
            log.info(
                "partition %d: replayed %.0f %% of %d records, about %.0f s to go",
                self.partition, 100 * share, self.end - self.start,
                seconds / max(share, 1e-9) - seconds,
            )  # fmt: skip


class Recovery:
    """The checkpoints of the partitions that a worker has.

    Args:
        topic: that the state is made from.
        group: the consumer group whose state it is.
        settings: where checkpoints lie and how often they are written.

    Raises:
        CheckpointUrlError: they cannot lie there.
    """

    def __init__(
        self, topic: Topic, group: str, settings: Settings, registry: CollectorRegistry
    ) -> None:
        self._topic = topic
        self._group = group
        self._settings = settings
        self._interval = float(settings.checkpoint_interval)
        # What one partition may cost while the group waits.
        self._patience = float(settings.session_timeout) / 2
        self.metrics = Metrics(registry)
        url = settings.checkpoint_url or str(settings.data_dir.resolve() / "checkpoints")
        self._store = Checkpoints(url, group, topic.name)
        self._saved: dict[int, tuple[int, float]] = {}  # offset, and when last tried
        self._good: dict[int, float] = {}  # when one was last good
        self._writing: asyncio.Task[None] | None = None

    async def restored(
        self, partition: int, make: Callable[[], S], committed: int | None
    ) -> Restored[S]:
        """The state of a partition.

        Args:
            make: makes the state before any record.
            committed: checkpoints beyond it are of no use; None where nothing is committed of the
                log as it is now: then the last record of a checkpoint has to be in it.
        """
        self._note(partition, 0)
        if not self._interval:
            return Restored(make(), Point(0))
        foreign: int | None = None
        try:
            async with asyncio.timeout(self._patience):
                if self._writing is not None:  # of an earlier state, it may be the newest yet
                    await self._writing
                for found in await asyncio.to_thread(self._store.found, partition):
                    try:
                        state, mark = await self._usable(partition, found, make, committed)
                    except CheckpointError as error:
                        if foreign is None and isinstance(error, ForeignLogError):
                            foreign = found.offset
                        aside = await asyncio.to_thread(self._store.put_aside, found)
                        told = f"{error}. It is put aside as {aside}"
                        self._failed(error.reason, partition, told)
                    else:
                        self._note(partition, found.offset)
                        return Restored(state, Point(found.offset, mark), foreign)
        except Exception as error:  # a driver raises what it likes
            where = self._store.folder(partition)
            self._failed("unreachable", partition, f"reading {where} failed: {error!r}")
        return Restored(make(), Point(0), foreign)

    async def _usable(
        self, partition: int, found: Found, make: Callable[[], S], committed: int | None
    ) -> tuple[S, Mark | None]:
        """The state in a checkpoint, and the mark of its last record.

        Raises:
            CheckpointError: it cannot be used.
        """
        if committed is not None and found.offset > committed:
            raise CheckpointError("ahead", f"only offsets up to {committed} are committed")
        content = await asyncio.to_thread(self._store.read, found)
        state = make()
        check_facts(content.facts, self._facts(partition, state))
        mark = Mark.read(content.facts.get(_LAST, ""))
        point = Point(found.offset, mark)
        await self._check_log(TopicPartition(self._topic.name, partition), point, committed)
        try:
            await asyncio.to_thread(state.restore, content.arrays)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise CheckpointError("unreadable", f"no state of this role: {error!r}") from error
        return state, mark

    async def _check_log(self, source: TopicPartition, point: Point, committed: int | None) -> None:
        """
        Raises:
            ForeignLogError: it is of another log than that of now; or it may be, where nothing of
                what is committed says that the log is the same.
        """
        verdict = (await look(self._settings, {source: point}))[source]
        last = None if point.mark is None else point.mark.spelled
        if verdict is Verdict.OTHER:
            raise ForeignLogError(f"its last record, {last}, is not in the topic as it is now")
        if verdict is Verdict.SAME:
            return
        if committed is None:
            raise ForeignLogError(
                f"its last record, {last}, is gone, and nothing that is committed says that the "
                "log is the same"
            )
        log.warning(
            "partition %d: the record before offset %d is gone, so nobody can tell whether the "
            "checkpoint is of this log; it is believed", source.partition, point.offset,
        )  # fmt: skip

    def _facts(self, partition: int, state: Stateful) -> dict[str, str]:
        identity = {"group": self._group, "topic": self._topic.name, "partition": str(partition)}
        return {**identity, **state.depends_on}

    def is_due(self, partition: int, offset: int) -> bool:
        """Whether the state at `offset` should be written now."""
        if not self._interval or self._writing is not None:
            return False
        saved, at = self._saved[partition]
        if time.monotonic() - at < self._interval:
            return False
        if saved == offset:  # nothing new: what there is holds everything
            self._note(partition, offset)
            return False
        return True

    def begin(self, partition: int, state: Stateful, point: Point) -> None:
        """Copies the state at a point whose offset is committed, and has it written meanwhile."""
        pieces = self._copied(partition, state, point)
        self._saved[partition] = self._saved[partition][0], time.monotonic()
        self._writing = asyncio.create_task(self._write(partition, point.offset, pieces))

    async def finish(self, states: Sequence[tuple[int, Stateful, Point]]) -> None:
        """Writes the states of partitions that are given up, those that have changed.

        It takes no longer than half of the session timeout; what is not written by then is read
        from the topic by whoever has the partition next.
        """
        if not self._interval:
            return
        try:
            async with asyncio.timeout(self._patience):
                if self._writing is not None:
                    await self._writing
                for partition, state, point in states:
                    if self._saved[partition][0] != point.offset:
                        pieces = self._copied(partition, state, point)
                        await self._write(partition, point.offset, pieces)
        except TimeoutError:
            for partition, _, point in states:
                if self._saved[partition][0] != point.offset:
                    self._failed("unwritable", partition, "there was no time to write it")

    def _copied(self, partition: int, state: Stateful, point: Point) -> list[memoryview]:
        with self.metrics.pause.time():
            last = {} if point.mark is None else {_LAST: point.mark.spelled}
            return encode(state.save(), {**self._facts(partition, state), **last})

    async def _write(self, partition: int, offset: int, pieces: list[memoryview]) -> None:
        try:
            with self.metrics.write.time():
                size = await asyncio.to_thread(self._store.write, partition, offset, pieces)
        except Exception as error:  # a driver raises what it likes
            reason = "full" if is_full(error) else "unwritable"
            where = self._store.folder(partition)
            self._failed(reason, partition, f"writing to {where} failed: {error!r}")
            self._warn_of_age(partition)
        else:
            self.metrics.bytes.labels(partition).set(size)
            self._note(partition, offset)
        finally:
            self._writing = None

    def forget(self, partitions: Iterable[int]) -> None:
        """Partitions that this worker has no more."""
        for partition in partitions:
            if self._saved.pop(partition, None) is not None and self._interval:
                self.metrics.saved_at.remove(partition)

    def _warn_of_age(self, partition: int) -> None:
        age = time.monotonic() - self._good[partition]
        if age > self._settings.checkpoint_max_age:
            log.error(
                "partition %d: no checkpoint for %.0f s; whoever takes it over now replays as much",
                partition, age,
            )  # fmt: skip

    def _note(self, partition: int, offset: int) -> None:
        self._saved[partition] = offset, time.monotonic()
        self._good[partition] = time.monotonic()
        if self._interval:
            self.metrics.saved_at.labels(partition).set_to_current_time()

    def _failed(self, reason: str, partition: int, what: str) -> None:
        self.metrics.failures.labels(reason).inc()
        log.warning("partition %d: checkpoint (%s): %s", partition, reason, what)
