"""What is said of the stream, by what the broker says of the roles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stream.gateway.health import Watch
from stream.gateway.roles import ROLES, Standing, reads
from stream.gateway.tables.views import Health
from stream.kafka.broker import BrokerError
from stream.processes.starting import Teller
from tests.clock import Clock
from tests.stream.gateway.conftest import Parts, forecast
from topics.catalogue import POPULARITY_FORECASTS

WELL = Standing(members=1, committed=True, read=500, lag=0, lag_seconds=0.0)


class Told:
    """In the place of the broker: tells standings, or fails."""

    def __init__(self, letters: int = 0, **standings: Any) -> None:
        self.standings = dict.fromkeys(ROLES, WELL) | standings
        self.letters = letters
        self.error: Exception | None = None

    async def look(self) -> tuple[dict[str, Standing], int]:
        if self.error is not None:
            raise self.error
        return self.standings, self.letters

    async def close(self) -> None:
        pass


async def seen(parts: Parts, told: Told) -> Health:
    parts.watch._roles = told  # type: ignore[assignment]
    await parts.watch.look()
    return parts.watch.health()


def words(health: Health) -> str:
    return "\n".join(f"{note.level}: {note.text} {note.to_do}" for note in health.notes)


async def test_all_is_well(parts: Parts, clock: Clock) -> None:
    parts.take(POPULARITY_FORECASTS, forecast(observed_at=clock.now, published_at=clock.now))
    health = await seen(parts, Told())
    assert (health.level, health.notes) == ("ok", [])
    assert [role.words for role in health.roles] == ["up to date"] * len(ROLES)
    assert all(role.last_heartbeat_wall for role in health.roles)


@pytest.mark.parametrize(
    ("standing", "level", "told"),
    [
        (Standing(0, True, 5, 1_200, 4.0), "wrong", "is not running; 1,200 messages wait"),
        (Standing(0, True, 5, 0, 0.0), "warning", "is not running"),
        (Standing(0, False, 0, 0, 0.0), "warning", "is not running, and never has been"),
        (Standing(2, True, 5, 9_000, 95.0), "warning", "is 95 s behind; 9,000 messages wait"),
    ],
)
async def test_a_role_that_is_not_well(
    standing: Standing, level: str, told: str, parts: Parts
) -> None:
    health = await seen(parts, Told(forecaster=standing))
    assert health.level == level
    assert f"{level}: The forecaster {told}" in words(health)
    assert "tidecast forecaster" in words(health)


async def test_a_role_that_works_nothing_off_is_at_a_standstill(parts: Parts, clock: Clock) -> None:
    waits = Standing(members=1, committed=True, read=5, lag=3, lag_seconds=2.0)
    told = Told(tracker=waits)
    for _ in range(2):
        assert (await seen(parts, told)).roles[0].words == "at work, 2.0 s behind"
    clock.now += 60
    health = await seen(parts, told)
    assert "wrong: The tracker is at a standstill for 60 s; 3 messages wait" in words(health)
    told.standings["tracker"] = replace(waits, read=6)
    assert (await seen(parts, told)).roles[0].words == "at work, 2.0 s behind"
    told.standings["tracker"] = WELL
    assert (await seen(parts, told)).roles[0].words == "up to date"


async def test_a_broker_that_does_not_answer(parts: Parts, clock: Clock) -> None:
    told = Told()
    await seen(parts, told)
    told.error = OSError("connection refused")
    clock.now += 7
    health = await seen(parts, told)
    assert health.level == "wrong"
    assert "has not answered for 7" in words(health)
    assert "connection refused" in words(health)
    assert health.roles[0].level == "ok", "as of the last answer"


async def test_what_is_missing_is_said(parts: Parts) -> None:
    parts.loaded = 0.5
    health = await seen(parts, Told(letters=3))
    assert "Still reading what the topics hold (50%)" in words(health)
    assert "3 messages could not be used" in words(health)
    parts.loaded = 1.0
    assert "No forecast yet. A cascade is forecast from 10 events" in words(parts.watch.health())


async def test_silence_and_other_times_are_said(parts: Parts, clock: Clock) -> None:
    parts.take(POPULARITY_FORECASTS, forecast())
    await seen(parts, Told())
    clock.now += 300
    health = parts.watch.health()
    assert "No event has come for 5 min" in words(health)
    assert "its events are of 2020-09-13" in words(health)


def test_roles_read_what_the_catalogue_says() -> None:
    assert reads("tracker") == ["social.events"]
    assert "model.calibration" not in reads("forecaster"), "each worker reads it, no group does"
    assert all(reads(role) for role in ROLES)


def test_a_watch_that_has_not_looked_says_so(parts: Parts) -> None:
    assert isinstance(parts.watch, Watch)
    assert {role.words for role in parts.watch.health().roles} == {"not looked at yet"}


async def test_before_the_broker_is_there_it_says_what_it_waits_for(clock: Clock) -> None:
    parts = Parts(loaded=None)
    told = Told()
    told.error = BrokerError("nobody answers")
    health = await seen(parts, told)
    assert (health.level, health.ready, health.loaded) == ("warning", False, 0.0)
    (note,) = health.notes
    assert "waits for the broker at 127.0.0.1:9092" in note.text and "tidecast broker" in note.to_do
    assert parts.watch.ready().detail == "waiting for the broker at 127.0.0.1:9092 and its topics"


async def test_a_role_that_starts_is_not_told_to_be_started(clock: Clock, tmp_path: Path) -> None:
    parts = Parts(status_dir=str(tmp_path))
    Teller(tmp_path, "broker").tell("up", ready=True)
    Teller(tmp_path, "ranker").tell("compiling kernel 3, _select")
    never = Standing(0, False, 0, 0, 0.0)
    health = await seen(parts, Told(ranker=never))
    assert [(one.name, one.words, one.ready) for one in health.starting] == [
        ("broker", "up", True), ("ranker", "compiling kernel 3, _select", False),
    ]  # fmt: skip
    role = next(role for role in health.roles if role.name == "ranker")
    assert role.words == "starting: compiling kernel 3, _select"
    assert "ranker" not in words(health)
    Teller(tmp_path, "ranker").tell("joined", ready=True)
    health = await seen(parts, Told(ranker=never))
    assert health.starting == []
    assert "The ranker is not running, and never has been" in words(health)
