"""Everything on one machine: broker, topics, roles, traffic, and a display of what happens.

broker <- feeders (files or the simulator), held back by the slowest role
  |
roles, each a process of its own
  |
observer (reads the output topics) and progress (asks for offsets) -> display, summary

All are started at once, the gateway first, whose page is there before the broker answers; each says
what it is at (`stream.processes.starting`) until it has joined.

UpError(TidecastError)
    RoleDiedError       a role ended by itself; its last lines are in the message
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.live import Live

from stream.gateway import address
from stream.heart.role import Heart
from stream.kafka import broker
from stream.kafka.progress import Progress
from stream.local import board
from stream.local.embedded import Embedded, started
from stream.local.observer import Observer
from stream.processes import starting
from stream.processes.roles import RoleProcess, stop_all
from stream.processes.stopping import when_told
from stream.settings import Settings
from stream.sources.feed import Sent, connect, feed
from stream.sources.holding import Hold, at_each_line
from stream.sources.messages import Source
from stream.sources.too_late import refuse_if_too_late
from topics.catalogue import EDGE_REQUESTS, READS, SOCIAL_EVENTS
from topics.errors import TidecastError

# How far the feeders may run ahead of each role. Small enough that what waits stays within the
# embedded broker's bounded topics, large enough that every role has full batches.
AHEAD = {"tracker": 20_000, "historian": 20_000, "forecaster": 600, "ranker": 1_000,
         "scorer": 20_000}  # fmt: skip
GATEWAY = "gateway"  # beside those of READS: it holds nobody back
_TICK = 0.25
_STILL_SECONDS = 300.0  # for which nothing moves, before what is left is given up
_WAY_OUT = "Leave --kafka out to send it to a broker of its own"


class UpError(TidecastError):
    """The run cannot go on."""


class RoleDiedError(UpError):
    """A role ended by itself."""


class Traffic(NamedTuple):
    """A source, and the roles that hold its feeder back when they are too far behind."""

    source: Source
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        traffic: makes what is fed, each source by a feeder of its own; files take a while to read,
            so it is called in a thread, while everything starts.
        kafka: a running broker; None starts the embedded one.
        speed: seconds of event time in a second; None is as fast as the slowest role.
        seconds: of sending; None is to the end of the sources, or to Ctrl-C.
        folder: for logs and the embedded broker's data; a fresh one a run.
        force: sends also what begins before the event time that a running broker has reached.
        hold: how far in event time the sources may go; None to their end.
        stay: leaves page and broker up when all has been worked off, until Ctrl-C.
        reads_files: whether the traffic is read from files, for the words while it is.
    """

    traffic: Callable[[], Sequence[Traffic]]
    kafka: str | None
    speed: float | None
    seconds: float | None
    folder: Path
    force: bool = False
    hold: Hold | None = None
    stay: bool = False
    reads_files: bool = False


class Run:
    """One run of `tidecast up`. `go` returns its summary.

    Ctrl-C ends the sending, and what was sent is worked off. A second one, SIGTERM and the end of
    the terminal do not wait for that. In either case the roles finish and commit what they are at,
    and the broker ends last.

    Attributes:
        is_hurried: told to end without waiting until what was sent is worked off.
    """

    def __init__(self, plan: Plan, settings: Settings, console: Console) -> None:
        self._plan = plan
        self._settings = settings
        self._console = console
        self._roles: list[RoleProcess] = []
        self._status = board.Status(hold=plan.hold)
        self._rates = board.Rates()
        self._words = plan.folder / "starting"  # what each process is at
        self._for_broker = starting.Teller(self._words, "broker")
        self._is_connected = False
        self._interrupted = asyncio.Event()  # no more is sent
        self.is_hurried = False
        self._heart: Heart | None = None
        # Set while the role is not too far behind.
        self._room = {role: asyncio.Event() for role in AHEAD}

    async def go(self) -> dict[str, Any]:
        """Runs to the end of the plan and returns the summary.

        Raises:
            RoleDiedError: a role ended by itself.
            UpError: what was sent was not worked off in time.
            BrokerError: the broker did not start.
            TooLateError: a running broker has newer messages than those that are to be sent.
        """
        when_told(self._end)
        self._reading = asyncio.create_task(self._read())
        with self._broker() as (settings, own):
            self._status.kafka = settings.kafka
            self._status.page = address.url(settings.http_host, settings.http_port)
            self._observer = Observer(settings)
            self._status.observed = self._observer.observed
            self._progress = Progress(settings)
            if own is None:
                await self._connect_to_theirs(settings)
            try:
                self._start_roles(settings, own)
                drained = await self._work(settings, own)
            finally:
                self._status.phase = "stopping"
                exits = await asyncio.to_thread(stop_all, self._roles)
                if self._is_connected:
                    await self._observer.stop()
                    await self._progress.stop()
        return self._summary(exits, drained)

    def _start_roles(self, settings: Settings, own: Embedded | None) -> None:
        """Starts the gateway, whose page shows how the others come, and then all of them."""
        needs = () if own is None else (own.process,)
        for role in (GATEWAY, *READS):
            starting.Teller(self._words, role).tell("starting")
            self._roles.append(RoleProcess(role, settings, self._plan.folder, needs))
        self._roles.append(self._roles.pop(0))  # it is stopped last, and shows how the others go
        self._console.print(f"live page: {self._status.page}")

    def _end(self, number: signal.Signals) -> None:
        """Ends the run as a signal asks."""
        self.is_hurried = number != signal.SIGINT or self._interrupted.is_set()
        self._interrupted.set()

    @contextmanager
    def _broker(self) -> Iterator[tuple[Settings, Embedded | None]]:
        """The settings of what is started, and the embedded broker where there is no other.

        That one is on its way.
        """
        settings = address.with_free_port(self._settings).having(
            # Whoever runs it here reads their files, and the last lines of one that died.
            log_format=self._settings.log_format or "text",
            status_dir=str(self._words.resolve()),
        )
        if self._plan.kafka is not None:
            yield settings.having(kafka=self._plan.kafka), None
            return
        with started(self._plan.folder / "broker") as own:
            self._for_broker.tell("starting")
            yield settings.having(kafka=own.address), own

    async def _read(self) -> Sequence[Traffic]:
        """What is fed."""
        teller = starting.Teller(self._words, "traffic")
        teller.tell("reading files" if self._plan.reads_files else "preparing the simulation")
        traffic = await asyncio.to_thread(self._plan.traffic)
        teller.tell("ready", ready=True)
        return traffic

    async def _connect_to_theirs(self, settings: Settings) -> None:
        """Connects to a running broker: what speaks against it is told before a role starts."""
        await broker.create_topics(settings)
        if not self._plan.force:
            for traffic in await self._reading:
                await refuse_if_too_late(traffic.source, settings, _WAY_OUT)
        await self._connect()

    async def _connect(self) -> None:
        """Begins to observe."""
        await self._observer.start()
        await self._progress.start()
        self._is_connected = True
        await self._look()

    async def _work(self, settings: Settings, own: Embedded | None) -> bool:
        """True when all that was sent has been worked off."""
        working = asyncio.create_task(self._feed_and_drain(settings, own))
        background = asyncio.create_task(self._watch()), asyncio.create_task(self._show())
        try:
            await _first_of(working, *background)
            return working.result()
        finally:
            tasks = (working, self._reading, *background)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed_and_drain(self, settings: Settings, own: Embedded | None) -> bool:
        """From the broker's first answer on; true when all that was sent has been worked off."""
        if own is not None:
            await asyncio.to_thread(own.wait)
            self._for_broker.tell("making the topics")
            await broker.create_topics(settings, bounded=True)
            self._for_broker.tell("up", ready=True)
            await self._connect()
        following = asyncio.create_task(self._observer.follow())
        working: asyncio.Task[Any] = asyncio.create_task(self._feed(settings))
        try:
            await _first_of(working, following)
            self._status.phase = "draining"
            working = asyncio.create_task(self._drain())
            await _first_of(working, following)
            drained = bool(working.result())
            if self._plan.stay and not self._interrupted.is_set():
                self._status.phase = "all is worked off; Ctrl-C ends it"
                working = asyncio.create_task(self._interrupted.wait())
                await _first_of(working, following)
            return drained
        finally:
            for task in (working, following):
                task.cancel()
            await asyncio.gather(working, following, return_exceptions=True)

    async def _feed(self, settings: Settings) -> None:
        """Sends every source, side by side, and then what is left of their batches."""
        await self._reading
        # What is sent before a role is there waits for it, and would count as its slowness.
        while not await asyncio.to_thread(self._all_have_joined):  # noqa: ASYNC110
            await asyncio.sleep(_TICK)
        self._status.phase = "running"
        if self._plan.hold is not None:
            at_each_line(self._plan.hold.go_on)
        producer = await connect(settings, [SOCIAL_EVENTS.name, EDGE_REQUESTS.name])
        seconds = self._plan.seconds
        until = None if seconds is None else time.monotonic() + seconds
        try:
            async with self._beating(settings):
                await asyncio.gather(
                    *(
                        feed(
                            source,
                            producer,
                            speed=self._plan.speed,
                            until=until,
                            stop=self._interrupted,
                            gate=partial(self._may_send, roles),
                            hold=self._plan.hold,
                            on_sent=self._counter(),
                        )
                        for source, roles in await self._reading
                    )
                )
        finally:
            await producer.stop()

    @asynccontextmanager
    async def _beating(self, settings: Settings) -> AsyncIterator[None]:
        """Sends heartbeats meanwhile, where the settings ask for them."""
        if settings.heartbeat <= 0:
            yield
            return
        self._heart = Heart(settings, CollectorRegistry())
        beating = asyncio.create_task(self._heart.run())
        try:
            yield
        finally:
            self._heart.stop()
            await beating

    def _heartbeats(self, topic: str) -> int:
        """How many of the topic's messages are heartbeats and not traffic."""
        return 0 if self._heart is None else self._heart.sent[topic]

    def _all_have_joined(self) -> bool:
        return self._interrupted.is_set() or all(role.has_joined for role in self._roles)

    def _counter(self) -> Callable[[Sent], None]:
        """Adds one feeder's running counts to the status."""
        before: dict[str, int] = {}

        def count(sent: Sent) -> None:
            for topic, total in sent.counts.items():
                fresh = total - before.get(topic, 0)
                before[topic] = total
                if topic == SOCIAL_EVENTS.name:
                    self._status.events_sent += fresh
                else:
                    self._status.requests_sent += fresh
            self._note_room()

        return count

    async def _may_send(self, roles: Sequence[str]) -> None:
        """Returns once none of the roles is too far behind."""
        for role in roles:
            await self._room[role].wait()

    def _note_room(self) -> None:
        status, positions = self._status, self._status.positions
        behind = {role: position.lag for role, position in positions.items()}
        # Counted by what was sent since, for the lags are as old as the last look.
        for role, topic, sent in (
            ("tracker", SOCIAL_EVENTS.name, status.events_sent),
            ("historian", EDGE_REQUESTS.name, status.requests_sent),
        ):
            behind[role] = sent + self._heartbeats(topic) - positions[role].read
        for role, room in self._room.items():
            if behind[role] < AHEAD[role]:
                room.set()
            else:
                room.clear()

    async def _watch(self) -> None:
        """Keeps the positions current; raises when a role has died."""
        while True:
            for role in self._roles:
                if role.exit_code is not None:
                    raise RoleDiedError(
                        f"{role.role} ended by itself (exit {role.exit_code}); its last lines, "
                        f"of {role.log}:\n{role.tail()}"
                    )
            self._status.starting = starting.told(self._words)
            if self._is_connected:
                await self._look()
                self._rates.update(self._status.positions)
                self._note_room()
            await asyncio.sleep(_TICK)

    async def _look(self) -> None:
        """Notes where the roles are."""
        self._status.positions = {role: await self._progress.of(role) for role in READS}

    async def _drain(self) -> bool:
        """Waits until every role has read all there is and all answers have come in."""
        moved, positions = time.monotonic(), self._status.positions
        while time.monotonic() - moved < _STILL_SECONDS and not self.is_hurried:
            if await self._progress.drained() and await self._observer.caught_up():
                await self._look()
                return True
            if self._status.positions != positions:
                moved, positions = time.monotonic(), self._status.positions
            await asyncio.sleep(_TICK)
        return False

    async def _show(self) -> None:
        """Shows the status: live in a terminal, lines elsewhere."""
        if not self._console.is_terminal:
            lines = board.Lines(self._status, self._rates)
            while True:
                for line in lines.due():
                    print(line, file=sys.stderr, flush=True)
                await asyncio.sleep(_TICK)
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            with contextlib.suppress(asyncio.CancelledError):
                while True:
                    live.update(board.render(self._status, self._rates), refresh=True)
                    await asyncio.sleep(2 * _TICK)
            live.update(board.render(self._status, self._rates), refresh=True)

    def _summary(self, exits: dict[str, int], drained: bool) -> dict[str, Any]:
        status, observed = self._status, self._observer.observed
        positions = status.positions
        p50, p99 = observed.latency(50, 99)
        return {
            "seconds": round(status.seconds, 3),
            "drained": drained,
            "events_sent": status.events_sent,
            "events_consumed": positions["tracker"].read
            - self._heartbeats(SOCIAL_EVENTS.name)
            - observed.dead_letters_of(SOCIAL_EVENTS.name),
            "requests_sent": status.requests_sent,
            "requests_consumed": positions["historian"].read
            - self._heartbeats(EDGE_REQUESTS.name)
            - observed.dead_letters_of(EDGE_REQUESTS.name),
            "snapshots": positions["forecaster"].read - self._heartbeats(SOCIAL_EVENTS.name),
            "forecasts": observed.forecasts,
            "degraded": observed.degraded,
            "decisions": observed.decisions,
            "withdrawn": observed.withdrawn,
            "edges": {
                name: {
                    "requests": totals.requests,
                    "admitted": totals.last.admitted,
                    "hit_ratio": round(totals.hit_ratio, 4),
                    "lru_hit_ratio": round(totals.lru_hit_ratio, 4),
                    "decayed_hit_ratio": round(totals.decayed_hit_ratio, 4),
                }
                for name, totals in sorted(observed.edges.items())
            },
            "outcomes": observed.outcomes,
            "scores": {
                f"{kind.kind} {kind.model} {kind.version}": {
                    "n": totals.scores,
                    "msle": round(totals.msle, 4),
                    "coverage_90": round(totals.coverage, 4),
                }
                for kind, totals in sorted(observed.scored.items())
            },
            "dead_letters": observed.dead_letters,
            "final_lag": sum(position.lag for position in positions.values()),
            "event_to_forecast_seconds": {"p50": p50, "p99": p99},
            "roles": exits,
        }


async def _first_of(task: asyncio.Task[Any], *others: asyncio.Task[None]) -> None:
    """Waits for `task`; an error in it or in any of the others is raised at once."""
    done, _ = await asyncio.wait((task, *others), return_when=asyncio.FIRST_COMPLETED)
    for finished in done:
        finished.result()
