"""Crash tests as data: a scenario is a list of steps, run with real processes on a real broker.

    [events(500), kill("tracker"), events(500), pause("broker", 3), kill("forecaster")]

`play` plays it on a broker of its own, and `undisturbed` the log that came of it on another, one
worker a role and nothing else; `tests.system.crashes.sameness` compares what they said.

Steps go by progress, not by time: a kill waits until its victim has worked since its last
misfortune, and every step until a share of what was sent has been worked off, drawn with the
scenario's seed like the moments' delay before a blow. Whatever ends by itself is started again
under its name, as Kubernetes would, and noted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Events:
    """Sends so many events, and the requests that lie between them; compressed by the codec."""

    count: int
    codec: str | None = None


@dataclass(frozen=True)
class Abort:
    """Sends so many events in a transaction that is aborted: nobody is to count them."""

    count: int


@dataclass(frozen=True)
class Recreate:
    """Ends the log of events, deletes its topic and makes it again; a new world goes on there."""


@dataclass(frozen=True)
class Kill:
    """Kills a worker as a power cut would: at once, or at the point that it comes to next.

    A broker of a cluster likewise, by its number; it is there again after a while.
    """

    role: str
    instance: str = "0"
    at: str | None = None


@dataclass(frozen=True)
class Roll:
    """Restarts the brokers of a cluster one by one, the next once the last has caught up."""


@dataclass(frozen=True)
class Stop:
    """Asks a worker to end (SIGTERM) and waits; it stays away."""

    role: str
    instance: str = "0"


@dataclass(frozen=True)
class Start:
    """Starts a worker, one more of its role or one that was stopped."""

    role: str
    instance: str


@dataclass(frozen=True)
class Freeze:
    """Stops a worker's clock (SIGSTOP) until it is woken; the group expels it as after a timeout.

    The embedded broker expels nobody by itself, so that one is told on the member's behalf that
    the member leaves, when Kafka would have noticed: the other workers take its partitions.
    """

    role: str
    instance: str = "0"
    at: str | None = None  # the point of a batch; None: anywhere


@dataclass(frozen=True)
class Wake:
    """Lets a frozen worker go on (SIGCONT), in the middle of what it was doing."""

    role: str
    instance: str = "0"


@dataclass(frozen=True)
class Pause:
    """Lets a broker, or a worker, stand still (SIGSTOP) for so many seconds."""

    whom: str
    seconds: float
    instance: str = "0"


Step = Events | Abort | Recreate | Kill | Roll | Stop | Start | Freeze | Wake | Pause

events, abort, recreate = Events, Abort, Recreate
kill, roll, stop, start = Kill, Roll, Stop, Start
freeze, wake, pause = Freeze, Wake, Pause
