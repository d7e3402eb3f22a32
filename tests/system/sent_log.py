"""What scenarios send: a seeded log of events and requests with repeats and impossible ones in it.

The log is simulated, or recorded where files are given, and in order of event time. So that an
account can be closed exactly, it is known of each message what is to become of it: counted, a
repeat, or a dead letter. A log is ended by one event and one request for each partition, days
later: every cascade gets its final outcome and every window is closed.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import msgspec

from stream.settings import Settings
from stream.sources.messages import EVENTS, REQUESTS, Message
from stream.sources.replay import CascadeReplay, RequestReplay
from stream.sources.simulate import Simulation
from topics.records import EdgeRequest, SocialEvent

REPEATED, BAD = 0.01, 0.002  # shares of the messages


def simulated(seed: int) -> Iterator[Message]:
    """Traffic without end: about as many events as requests."""
    world = Simulation(seed=seed, cascades_per_second=1.0, requests_per_second=20.0)
    return chain.from_iterable(world)


def recorded(cascades: Path, requests: Path) -> Iterator[Message]:
    """The events and requests of files, on one clock."""
    sources = CascadeReplay([cascades]), RequestReplay(requests)
    return heapq.merge(*map(chain.from_iterable, sources), key=lambda message: message.timestamp)


@dataclass
class SentLog:
    """Messages one after another, and the account of what has been taken of them.

    Attributes:
        sent: messages of each topic so far; the ones that end the log are not among them.
        repeats: events sent before; a request has no id, so it is never repeated here.
        bad: messages of each topic that are to be dead letters.
    """

    source: Iterator[Message]
    seed: int
    sent: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    _latest: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def take(self, events: int) -> Iterator[Message]:
        """The next messages up to the given number of events, requests in between included."""
        left = events
        while left > 0:
            message = next(self.source, None)
            if message is None:
                return
            self._latest = max(self._latest, message.timestamp)
            chance = self._random.random()
            copies = [message]
            if chance < BAD:
                self.bad[message.topic] += 1
                copies.append(message._replace(value=message.value[:-9]))
            elif chance < BAD + REPEATED and message.topic == EVENTS:
                self.repeats += 1
                copies.append(message)
            for copy in copies:
                self.sent[copy.topic] += 1
                left -= copy.topic == EVENTS
                yield copy

    def ends(self, settings: Settings) -> Iterable[tuple[int, Message]]:
        """What closes everything, each beside the partition that it is for."""
        encode = msgspec.json.encode
        time = self._latest + 2 * settings.horizons[-1] + settings.allowed_lateness + 1
        for number in range(settings.partitions):
            name = f"end-{number}"
            event = SocialEvent(name, name, "nobody", time, "post")
            yield number, Message(EVENTS, name.encode(), encode(event), time)
            request = EdgeRequest(name, "nothing", time)
            yield number, Message(REQUESTS, name.encode(), encode(request), time)
