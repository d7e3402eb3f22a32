"""What scenarios send: a seeded log of events and requests with repeats and impossible ones in it,
and some from clocks that lie.

The log is simulated, or recorded where files are given, and in order of event time. So that an
account can be closed exactly, it is known of each message what is to become of it: counted, a
repeat, or a dead letter. A log is ended by a few events and requests for each partition, days
later: every cascade gets its final outcome and every window is closed.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import msgspec

from stream.settings import Settings
from stream.sources.messages import EVENTS, REQUESTS, Message
from stream.sources.replay import CascadeReplay, RequestReplay
from stream.sources.simulate import START, Simulation
from topics.records import EdgeRequest, SocialEvent

REPEATED, BAD, LYING = 0.01, 0.002, 0.002  # shares of the messages
HONEST = 500  # messages before the first lie of a log: there is nothing yet to hold one against
_DAY = 86_400.0


def simulated(seed: int, start: float = START) -> Iterator[Message]:
    """Traffic without end from `start` on, unix seconds: about as many events as requests."""
    world = Simulation(seed=seed, cascades_per_second=1.0, requests_per_second=20.0, start=start)
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
    _begun: int = 0  # messages sent when the log of events was begun

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
            elif chance < BAD + LYING:
                if self.sent.total() - self._begun > HONEST:
                    self.bad[message.topic] += 1
                    copies.append(self._lie(message))
            elif chance < BAD + LYING + REPEATED and message.topic == EVENTS:
                self.repeats += 1
                copies.append(message)
            for copy in copies:
                self.sent[copy.topic] += 1
                left -= copy.topic == EVENTS
                yield copy

    def _lie(self, message: Message) -> Message:
        """The message as a clock makes it that is days ahead of ours, or a year behind."""
        ahead = self._random.random() < 0.5
        when = time.time() + 3 * _DAY if ahead else message.timestamp - 400 * _DAY
        record = msgspec.json.decode(message.value) | {"timestamp": when}
        if message.topic == EVENTS:
            record["event_id"] += "-lie"
            if not ahead:
                record["cascade_id"] += "-lie"
        return message._replace(value=msgspec.json.encode(record), timestamp=when)

    def begin_again(self, settings: Settings) -> None:
        """A new world, later than all of the old one, whose log is begun on an empty topic."""
        self.seed += 1
        self._latest = self._end(settings)
        self._begun = self.sent.total()
        self.source = simulated(self.seed, self._latest + 1)

    def unheard(self, count: int) -> Iterator[Message]:
        """Events of now that are to be taken back."""
        for number in range(count):
            name = f"unheard-{self._random.getrandbits(32)}"
            event = SocialEvent(name, f"{name}:{number}", "nobody", self._latest, "post")
            yield Message(EVENTS, name.encode(), msgspec.json.encode(event), self._latest)

    def _end(self, settings: Settings) -> float:
        """When everything that has begun by now is over."""
        return self._latest + 2 * settings.horizons[-1] + settings.allowed_lateness + 1

    def ends(self, settings: Settings) -> Iterable[tuple[int, Message]]:
        """What closes everything, each beside the partition that it is for."""
        encode = msgspec.json.encode
        end = self._end(settings)
        for number in range(settings.partitions):
            name = f"end-{self.seed}-{number}"
            for witness in range(settings.clock_witnesses):
                event = SocialEvent(name, f"{name}:{witness}", "nobody", end, "post")
                yield number, Message(EVENTS, name.encode(), encode(event), end)
                request = EdgeRequest(name, "nothing", end)
                yield number, Message(REQUESTS, name.encode(), encode(request), end)
