"""What a drill's site is fed: a usual day, and what may come in its place or beside it.

All of it goes by one clock of events, which runs `SPEED` times as fast as the wall clock.

    Traffic         the clock, and the usual traffic of the simulator
    promoted        cascades of accounts that are paid: all at once, then nothing
    live_segments   requests for a live stream: everyone asks for what is new, nobody for it again
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count, islice

import msgspec
import numpy as np

from stream.settings import Settings
from stream.sources.feed import connect, feed
from stream.sources.messages import EVENTS, REQUESTS, Message, Source
from stream.sources.parameters import Parameters, load
from stream.sources.simulate import START, Simulation
from topics.records import EdgeRequest, SocialEvent

SPEED = 20.0
EDGES = 4
_CASCADES, _REQUESTS = 0.3, 30.0  # a second of event time
_BATCH = 50
_encode = msgspec.json.encode


class Made:
    """Messages in order of time, as a source."""

    total: int | None = None

    def __init__(self, name: str, messages: Iterator[Message]) -> None:
        self.name = name
        self._messages = messages

    def __iter__(self) -> Iterator[list[Message]]:
        while batch := list(islice(self._messages, _BATCH)):
            yield batch


class Traffic:
    """The clock of events, and what is sent by it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._began = time.monotonic()
        self._no_requests = asyncio.Event()

    def now(self) -> float:
        """Event time, unix seconds."""
        return START + SPEED * (time.monotonic() - self._began)

    @asynccontextmanager
    async def usual(self) -> AsyncIterator[None]:
        """Sends cascades, and requests that have nothing to do with them, meanwhile."""
        async with self.sending(_cascades):
            requests = asyncio.create_task(self._usual_requests())
            try:
                yield
            finally:
                requests.cancel()
                await asyncio.gather(requests, return_exceptions=True)

    @asynccontextmanager
    async def instead_of_requests(self, make: Callable[[float], Source]) -> AsyncIterator[None]:
        """Sends a source meanwhile, and no usual requests."""
        self._no_requests.set()
        try:
            async with self.sending(make):
                yield
        finally:
            self._no_requests.clear()

    @asynccontextmanager
    async def sending(self, make: Callable[[float], Source]) -> AsyncIterator[None]:
        """Sends a source meanwhile, which is made for the time at which it begins."""
        stop = asyncio.Event()
        sending = asyncio.create_task(self._send(make, stop))
        try:
            yield
        finally:
            stop.set()
            await sending

    async def _usual_requests(self) -> None:
        while True:
            await self._send(_requests, self._no_requests)
            while self._no_requests.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _send(self, make: Callable[[float], Source], stop: asyncio.Event) -> None:
        producer = await connect(self._settings, [EVENTS, REQUESTS])
        try:
            source = await asyncio.to_thread(make, self.now())
            await feed(source, producer, speed=SPEED, stop=stop)
        finally:
            await producer.stop()


def _cascades(start: float) -> Source:
    return Simulation(
        cascades_per_second=_CASCADES, requests_per_second=0, start=start, parameters=_always_noon()
    )


def _requests(start: float) -> Source:
    return Simulation(
        cascades_per_second=0,
        requests_per_second=_REQUESTS,
        edges=EDGES,
        start=start,
        parameters=_always_noon(),
    )


def _always_noon() -> Parameters:
    """The fitted parameters without the hours of the day: they are drift, and found."""
    fitted = load()
    flat = [1.0] * 24
    replace = msgspec.structs.replace
    return replace(
        fitted,
        populations=[replace(one, rhythm=flat) for one in fitted.populations],
        requests=replace(fitted.requests, rhythm=flat),
    )


def promoted(start: float, per_second: float = 0.3, size: int = 60) -> Source:
    """Cascades with all of their events within a minute, without end."""

    def events() -> Iterator[Message]:
        random = np.random.default_rng(1)
        waiting: list[tuple[float, int, Message]] = []
        order = count()
        for number in count():
            born = start + number / per_second
            while waiting and waiting[0][0] <= born:
                yield heapq.heappop(waiting)[-1]
            times = [born, *(born + np.sort(random.uniform(1, 60, size - 1))).tolist()]
            for place, event_time in enumerate(times):
                name = f"promoted-{number}"
                event = SocialEvent(
                    name, f"{name}:{place}", f"paid-{place}", event_time,
                    "share" if place else "post", f"{name}:0" if place else None,
                )  # fmt: skip
                message = Message(EVENTS, name.encode(), _encode(event), event_time)
                heapq.heappush(waiting, (event_time, next(order), message))

    return Made("promoted cascades", events())


def live_segments(start: float, per_second: int = 5) -> Source:
    """At each edge a segment a second, asked for by as many within two seconds, without end."""

    def requests() -> Iterator[Message]:
        random = np.random.default_rng(2)
        for second in count():
            times = np.sort(random.uniform(0, 1, per_second * EDGES))
            for place, moment in enumerate((start + second + times).tolist()):
                edge = f"edge-{place % EDGES}"
                name = f"live/{int(start) + second - int(random.integers(2))}"
                request = EdgeRequest(edge, name, moment)
                yield Message(REQUESTS, edge.encode(), _encode(request), moment)

    return Made("live segments", requests())
