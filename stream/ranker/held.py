"""The partitions that a ranker has: each brought to where it is to answer from, and kept.

The edges of a partition are state that no message carries, a function of the windows so far. A
worker that is given a partition therefore takes it from a checkpoint
(`stream.checkpoints.recovery`), or from none, reads the windows from there up to the first one it
is to answer, in silence, and goes on; so does one whose last batch was computed and then not
committed. What it repeats has the same keys and the same content.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import Counter

from stream.checkpoints.recovery import Progress, Recovery
from stream.kafka.marks import Mark, Point
from stream.kafka.past import TakeIn
from stream.ranker.edges import RankedPartition
from stream.serving.rankers import MakeRanker
from stream.settings import Settings
from stream.workers.agents import Received
from stream.workers.publishing.output import Output

# Gives the windows of a partition from an offset up to before another to a function.
Reread = Callable[[int, int, int, TakeIn], int]


class HeldPartitions:
    """The partitions of one worker, by number.

    Args:
        settings: capacities and bounds of the edges.
        current: what makes the ranker of each edge now.
        reread: gives it a partition's earlier windows.
        assigned: the numbers of the partitions that this worker has now.
        recovery: gives back a partition's state where there is a checkpoint.
        rebuilt: counts windows that are read again.
    """

    def __init__(
        self,
        settings: Settings,
        current: Callable[[], MakeRanker],
        reread: Reread,
        assigned: Callable[[], set[int]],
        recovery: Recovery,
        rebuilt: Counter,
    ) -> None:
        self._settings = settings
        self._current = current
        self._make = current()
        self._reread = reread
        self._assigned = assigned
        self._recovery = recovery
        self._rebuilt = rebuilt
        self._partitions: dict[int, RankedPartition] = {}

    @property
    def edges(self) -> int:
        """Edges of all partitions."""
        return sum(len(partition.edges) for partition in self._partitions.values())

    def settle(self) -> None:
        """Takes in, between two batches, that a version took over and that partitions are gone."""
        make = self._current()
        if make is not self._make:  # another version: the edges are rebuilt with it
            self._make = make
            self._partitions = {n: RankedPartition(self._settings, make) for n in self._partitions}
        gone = self._partitions.keys() - self._assigned()
        self._recovery.forget(gone)
        for number in gone:
            del self._partitions[number]

    def pass_over(self, message: Received) -> None:
        """Takes in that a message is no window, so that nothing is read again for the gap."""
        partition = self._partitions.get(message.partition)
        if partition is not None and partition.position == message.offset:
            partition.position, partition.last = message.offset + 1, message

    def up_to(self, number: int, offset: int) -> RankedPartition:
        """The partition's state before the message at `offset`, rebuilt where it is not at hand."""
        began = time.monotonic()
        partition = self._partitions.get(number)
        if partition is None or partition.position > offset:
            partition, point, _ = asyncio.run(
                self._recovery.restored(
                    number, lambda: RankedPartition(self._settings, self._make), offset
                )
            )
            partition.position = partition.committed = point.offset
            self._partitions[number] = partition
        elif partition.position == offset:
            return partition
        progress = Progress(number, partition.position, offset, self._recovery.metrics, began)
        if partition.position < offset:
            count = self._reread(number, partition.position, offset, partition.take_in)
            self._rebuilt.inc(count)
        progress.reached(offset)
        return partition

    def write_due(
        self, messages: Sequence[Received], waiting: Callable[[], int]
    ) -> Iterator[Sequence[tuple[int, Output]]]:
        """Writes checkpoints that are due, once a batch is committed; publishes nothing."""
        for number in sorted({message.partition for message in messages}):
            partition = self._partitions.get(number)
            if partition is None:  # heartbeats alone so far
                continue
            partition.committed = partition.position
            if self._recovery.is_due(number, partition.position):
                self._write({number: partition})
            yield ()

    def give_up(self) -> None:
        """Writes checkpoints of all partitions, which may be somebody else's from now on."""
        self._write(self._partitions)

    def _write(self, partitions: Mapping[int, RankedPartition]) -> None:
        states = [
            (number, partition, Point(partition.position, Mark.of(partition.last)))
            for number, partition in partitions.items()
            if partition.last is not None and partition.position == partition.committed
        ]
        asyncio.run(self._recovery.finish(states))
