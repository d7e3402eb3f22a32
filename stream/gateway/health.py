"""The state of the stream in words: what is wrong, since when, and what to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Gauge

from stream.gateway.roles import ROLES, Roles, Standing, reads
from stream.gateway.state import State
from stream.gateway.tables.heartbeats import HEART, STAGES
from stream.gateway.tables.views import Health, Level, Note, Noticed, Ready, Role, Starting
from stream.kafka.access.authorization import told
from stream.kafka.broker import BrokerError
from stream.processes import starting
from stream.settings import Settings
from stream.telemetry.noticed import Summary
from topics.catalogue import CACHE_DECISIONS, CASCADE_OUTCOMES, POPULARITY_FORECASTS

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_REPLAY = 3600.0  # event times this far from the clock are another time's
_RANK: dict[Level, int] = {"ok": 0, "warning": 1, "wrong": 2}
_NEVER = Standing(0, False, 0, 0, None)


@dataclass
class _Seen:
    """What has been seen of a role, wall clock in unix seconds."""

    standing: Standing = _NEVER
    heartbeat: float | None = None
    progress: float | None = None
    waiting: float | None = None  # since when messages wait and none has been worked off


class Watch:
    """Looks at the roles every two seconds and words what it sees.

    Args:
        settings: the broker, and how late is late.
        state: what the gateway has read.
        loaded: the share read of what was there at the start; None before the topics are there.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        loaded: Callable[[], float | None],
        registry: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._state = state
        self._loaded = loaded
        self._roles = Roles(settings)
        self._seen = {role: _Seen() for role in ROLES}
        self._started = time.time()
        self._checked: float | None = None
        self._trouble: str | None = None
        self._told: Mapping[str, starting.Told] = {}
        self._letters = 0
        self._lag = Gauge(
            "tidecast_gateway_role_lag_seconds",
            "How long the oldest message that a role has not worked off has waited",
            ["role"],
            registry=registry,
        )
        ages = Gauge(
            "tidecast_gateway_heartbeat_age_seconds",
            "Since the latest heartbeat was sent that has come out of a role, on the partition "
            "where that is longest ago",
            ["role"],
            registry=registry,
        )
        for role in STAGES:
            ages.labels(role).set_function(partial(state.heartbeats.age, role))
        self._looked = Gauge(
            "tidecast_gateway_roles_seen_timestamp_seconds",
            "When the broker last told how the roles are, unix time; 0: not yet",
            registry=registry,
        )

    async def run(self) -> None:
        """Looks until it is cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await self._roles.close()

    async def look(self) -> None:
        """Looks once; a broker that does not answer is remembered, not raised."""
        try:
            async with asyncio.timeout(10 * _LOOK_SECONDS):
                standings, self._letters = await self._roles.look()
        except (KafkaError, BrokerError, OSError) as error:  # TimeoutError is an OSError
            self._trouble = told(self._settings, error)
            if self._loaded() is not None:  # else it is waited for, which is said already
                log.warning("the roles cannot be looked at: %s", self._trouble)
            await self._roles.close()
        else:
            self._trouble = None
            self._checked = time.time()
            self._looked.set(self._checked)
            for role, standing in standings.items():
                self._note(self._seen[role], standing)
                if standing.lag_seconds is not None:
                    self._lag.labels(role).set(standing.lag_seconds)
        self._state.note_health()

    def _note(self, seen: _Seen, standing: Standing) -> None:
        now = time.time()
        if standing.members:
            seen.heartbeat = now
        moved = standing.committed and standing.read != seen.standing.read
        if moved:
            seen.progress = now
        if moved or not standing.lag:
            seen.waiting = None
        elif seen.waiting is None:
            seen.waiting = now
        seen.standing = standing

    def ready(self) -> Ready:
        """Whether what was there at the start has been read."""
        loaded = self._loaded()
        if loaded is None:
            waits = f"waiting for the broker at {self._settings.kafka} and its topics"
            return Ready(False, 0.0, waits)
        if loaded < 1:
            return Ready(False, loaded, f"reading what the topics hold: {loaded:.0%} done")
        return Ready(True, 1.0, "what the topics held at the start has been read")

    def health(self) -> Health:
        """Everything, as of now."""
        state = self._state
        self._told = starting.told(self._settings.status_dir)
        roles = [self._role(name) for name in ROLES]
        noticed = state.noticed()
        notes = sorted(self._notes(roles, noticed), key=lambda note: -_RANK[note.level])
        worst: Level = max((note.level for note in notes), key=_RANK.__getitem__, default="ok")
        loaded = self._loaded() or 0.0
        return Health(
            level=worst,
            notes=notes,
            roles=roles,
            ready=loaded >= 1,
            loaded=loaded,
            wall_time=time.time(),
            event_time=state.cascades.event_time,
            last_forecast_wall=state.last_forecast_wall,
            checked_wall=self._checked,
            started_wall=self._started,
            cascades=len(state.cascades),
            archive=state.cascades.is_archive,
            edges=len(state.edges),
            forecasts=state.received[POPULARITY_FORECASTS.name],
            outcomes=state.received[CASCADE_OUTCOMES.name],
            decisions=state.received[CACHE_DECISIONS.name],
            dead_letters=self._letters,
            undecodable=state.undecodable,
            noticed=[_shown(summary) for summary in noticed],
            starting=self._starting(),
            kafka=self._settings.kafka,
        )

    def _starting(self) -> list[Starting]:
        """What each process is at, while not all of them are at work."""
        told = self._told.values()
        if all(word.ready for word in told):
            return []
        return [Starting(word.name, word.words, word.ready, word.since) for word in told]

    def _starts(self, name: str) -> starting.Told | None:
        """What a role is at that has not begun to work; None where it has, or is not heard of."""
        word = self._told.get(name)
        return None if word is None or word.ready else word

    def _role(self, name: str) -> Role:
        seen = self._seen[name]
        at = seen.standing
        level, words = self._worded(name, seen)
        stage = self._state.heartbeats.stage(name)
        passed = stage is not None and stage.took is not None
        return Role(
            name, level, words, at.members, reads(name), at.lag, at.lag_seconds,
            at.read, seen.heartbeat, seen.progress,
            stage.since if stage and passed else None, stage.took if stage else None,
        )  # fmt: skip

    def _worded(self, name: str, seen: _Seen) -> tuple[Level, str]:
        at = seen.standing
        word = self._starts(name)
        if word is not None:
            return "warning", f"starting: {word.words}"
        if self._checked is None:
            return "warning", "not looked at yet"
        waits = f"{at.lag:,} messages wait" if at.lag != 1 else "1 message waits"
        if not at.members:
            words = "not running" if at.committed else "not running, and never has been"
            level: Level = "wrong" if at.committed and at.lag else "warning"
            return level, f"{words}; {waits}" if at.lag else words
        # A broker may count a worker that died as alive for a while, the embedded one for ever.
        idle = 0.0 if seen.waiting is None else time.time() - seen.waiting
        if idle > self._settings.stale_after:
            return "wrong", f"at a standstill for {_lasting(idle)}; {waits}"
        late = at.lag_seconds or 0.0
        if late > self._settings.stale_after:
            return "warning", f"{_lasting(late)} behind; {waits}"
        if not at.lag:
            return "ok", "up to date"
        return "ok", f"at work, {late:.1f} s behind"

    def _notes(self, roles: list[Role], noticed: list[Summary]) -> Iterator[Note]:
        loaded = self._loaded()
        if loaded is None:
            yield Note(
                "warning",
                f"Nothing is known yet: the gateway waits for the broker at {self._settings.kafka} "
                "and its topics.",
                ""
                if self._told
                else "Start it: tidecast broker. Make them: tidecast topics create",
            )
            return
        if self._trouble is not None:
            since = f"for {_lasting(time.time() - self._checked)}" if self._checked else "yet"
            yield Note(
                "wrong",
                f"The broker at {self._settings.kafka} has not answered {since}: {self._trouble}.",
                "Look at the broker; what is shown is as of its last answer.",
            )
        if loaded < 1:
            yield Note(
                "warning",
                f"Still reading what the topics hold ({loaded:.0%}): lists are incomplete.",
            )
        if self._checked is not None:
            for role in roles:
                if role.level != "ok" and self._starts(role.name) is None:
                    yield Note(role.level, f"The {role.name} is {role.words}.", _to_do(role))
        yield from self._heartbeat_notes()
        yield from self._traffic_notes(loaded)
        for summary in noticed:
            yield Note("warning", summary.text, summary.to_do)
        if self._letters:
            yield Note(
                "warning",
                f"{self._letters:,} messages could not be used and are on dead.letters.",
                "By reason, and with an example of each: tidecast dead-letters list",
            )

    def _heartbeat_notes(self) -> Iterator[Note]:
        for name, stage in self._state.heartbeats.stuck().items():
            silent = _lasting(time.time() - stage.since)
            if name == HEART:
                yield Note(
                    "warning",
                    f"No heartbeat has come for {silent}: none is sent, or none can be.",
                    "Start it: tidecast heart",
                )
                continue
            # Where its group shows what is wrong that is said already; this says what it keeps.
            yield Note(
                "warning",
                f"No heartbeat has come through the {name} for {silent}, of partition "
                f"{stage.partition}.",
                "What is written to that partition does not get any further: docs/runbooks/"
                "heartbeat-missing.md",
            )

    def _traffic_notes(self, loaded: float) -> Iterator[Note]:
        state, now = self._state, time.time()
        tracker = self._seen["tracker"].standing
        silent = now - max(self._seen["tracker"].progress or 0.0, self._started)
        if tracker.members and not tracker.lag and silent > self._settings.stale_after:
            yield Note(
                "warning",
                f"No event has come for {_lasting(silent)}: what is shown is as of then."
                if tracker.read
                else "No event has come yet.",
                "Look at what writes to social.events.",
            )
        if loaded >= 1 and not state.received[POPULARITY_FORECASTS.name]:
            yield Note(
                "ok",
                f"No forecast yet. A cascade is forecast from {self._settings.growth_first} events "
                "on.",
            )
        event_time = state.cascades.event_time
        if event_time and abs(now - event_time) > _REPLAY:
            day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(event_time))
            yield Note(
                "ok",
                f"A replay or a simulation: its events are of {day} UTC. Times and ages follow "
                "the clock of the events, which may run faster than yours.",
            )


def _shown(found: Summary) -> Noticed:
    return Noticed(
        found.role, found.kind, found.topic, list(found.partitions), found.count,
        found.first_at, found.last_at,
    )  # fmt: skip


def _to_do(role: Role) -> str:
    """What helps a role that is not well."""
    if not role.members:
        return f"Start it: tidecast {role.name}"
    if role.level == "wrong":
        return f"Look at its log; if its process is gone, start it: tidecast {role.name}"
    return (
        f"More workers share its partitions: tidecast {role.name}, each with its own "
        "TIDECAST_INSTANCE."
    )


def _lasting(seconds: float) -> str:
    """A duration for people: 42 s, 12 min, 3.5 h."""
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"
