"""A role that dies, or stops dead, where it is told to: `python mortal_role.py ROLE FOLDER`.

It is the real role, by the real command line, but for traps at points of a batch. A trap is set by
a file of the point's name in FOLDER that names a signal. The process that comes to the point next
removes the file and sends itself the signal: SIGKILL, as a power cut would, with nothing flushed
and nobody told, or SIGSTOP, from which it wakes when somebody sends it SIGCONT.

    before publish    a batch is computed, and none of its outputs is sent
    amid publish      half of its outputs are acknowledged, the others not sent
    before commit     all of them are acknowledged, and the batch is not committed
    amid checkpoint   one is written and has not got its name; roles without any never come there
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from itertools import chain
from pathlib import Path
from typing import Any

BEFORE_PUBLISH = "before publish"
AMID_PUBLISH = "amid publish"
BEFORE_COMMIT = "before commit"
AMID_CHECKPOINT = "amid checkpoint"
POINTS = (BEFORE_PUBLISH, AMID_PUBLISH, BEFORE_COMMIT, AMID_CHECKPOINT)


class Traps:
    """The traps that are set in a folder, by point."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._published = False

    def set(self, point: str, blow: signal.Signals) -> None:
        """Sets one."""
        beside = self._folder / f"{point}.new"
        beside.write_text(blow.name)
        beside.replace(self._folder / point)

    def is_set(self, point: str) -> bool:
        """Whether nobody has come to it yet."""
        return (self._folder / point).exists()

    def take_away(self, point: str) -> signal.Signals | None:
        """What is set at a point; nothing is any more."""
        try:
            blow = (self._folder / point).read_text()
            (self._folder / point).unlink()
        except FileNotFoundError:
            return None
        return signal.Signals[blow]

    def spring(self, point: str) -> None:
        """Deals the blow that is set at a point, if any."""
        blow = self.take_away(point)
        if blow is not None:
            os.kill(os.getpid(), blow)

    def lay_into_writing(self) -> None:
        """Lays the trap into the call by which checkpoints, and nothing else, reach the disk."""
        write_through = os.fsync

        def written(file: Any) -> None:
            self.spring(AMID_CHECKPOINT)
            write_through(file)

        os.fsync = written

    def lay_into_model_roles(self, application: Any) -> None:
        """Lays the traps into the methods by which a batch is published and committed."""
        publish, commit = application.publish, application._commit

        async def published(role: Any, outputs: Any, begins: Any = None) -> bool:
            if begins is None:  # of no batch
                return await publish(role, outputs)
            if outputs:
                self.spring(BEFORE_PUBLISH)
            if len(outputs) > 1 and self.is_set(AMID_PUBLISH):
                await publish(role, outputs[: len(outputs) // 2], begins)
                self.spring(AMID_PUBLISH)
                outputs = outputs[len(outputs) // 2 :]
            self._published = await publish(role, outputs, begins)
            return self._published

        async def committed(role: Any, offsets: Any) -> bool:
            self._before_commit()
            return await commit(role, offsets)

        application.publish, application._commit = published, committed

    def lay_into_ingest_roles(self, delivery: Any) -> None:
        """The same where several batches may be on their way."""
        deliver, send, commit = delivery._deliver, delivery._send, delivery._commit

        async def delivered(way: Any, batch: Any) -> None:
            if batch.outputs:
                self.spring(BEFORE_PUBLISH)
            await deliver(way, batch)

        async def sent(way: Any, outputs: Any) -> dict[int, list[Any]]:
            waiting: dict[int, list[Any]] = {}
            if len(outputs) > 1 and self.is_set(AMID_PUBLISH):
                waiting = await send(way, outputs[: len(outputs) // 2])
                await asyncio.gather(*chain.from_iterable(waiting.values()))
                self.spring(AMID_PUBLISH)
                outputs = outputs[len(outputs) // 2 :]
            for number, futures in (await send(way, outputs)).items():
                waiting.setdefault(number, []).extend(futures)
            self._published = True
            return waiting

        async def committed(way: Any) -> None:
            self._before_commit()
            await commit(way)

        delivery._deliver, delivery._send, delivery._commit = delivered, sent, committed

    def _before_commit(self) -> None:
        if self._published:  # else the worker only asks whether it is a member still
            self._published = False
            self.spring(BEFORE_COMMIT)


def tell_what_is_waited_for() -> None:
    """Writes where each thread and each task stands, for whoever finds that nothing goes on."""
    faulthandler.dump_traceback(all_threads=True)
    for task in list(asyncio.tasks._all_tasks):  # type: ignore[attr-defined]
        task.print_stack(limit=6, file=sys.stderr)


if __name__ == "__main__":
    from stream.cli import main
    from stream.workers import agents
    from stream.workers.publishing.delivery import Delivery

    role, folder = sys.argv[1:]
    signal.signal(signal.SIGUSR1, lambda *_: tell_what_is_waited_for())
    traps = Traps(Path(folder))
    traps.lay_into_writing()
    traps.lay_into_ingest_roles(Delivery)
    traps.lay_into_model_roles(agents.Application)
    sys.argv = ["tidecast", role]
    main()
