"""Crash tests as data: whatever happens, what is said is what an undisturbed run says.

`make soak` does the same at random for as long as it is told to.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stream.http.listening import free_port
from stream.settings import Settings
from tests.patience import PATIENCE, until
from tests.system.crashes.mortal_role import (
    AMID_CHECKPOINT,
    AMID_PUBLISH,
    BEFORE_COMMIT,
    BEFORE_PUBLISH,
)
from tests.system.crashes.sameness import SHOWN, accounts, differences
from tests.system.crashes.scenario import Step, events, freeze, kill, pause, start, stop, wake
from tests.system.crashes.sent_log import SentLog, simulated
from tests.system.crashes.stage import SETTINGS, Played, feeding, finish, opened, play, undisturbed

pytestmark = pytest.mark.system


async def same_as_undisturbed(
    steps: Sequence[Step],
    folder: Path,
    roles: Sequence[str],
    workers: int = 1,
    brokers: int = 1,
) -> Played:
    """Plays a scenario, holds it against the undisturbed run, and says what came of it."""
    log = SentLog(simulated(seed=7), seed=7)
    each = dict.fromkeys(roles, workers)
    played = await play(steps, log, folder / "disturbed", each, seed=7, brokers=brokers)
    plain = await undisturbed(played, folder / "undisturbed", roles)
    told = differences(played.held, plain.held)
    assert {kind: wrong[:SHOWN] for kind, wrong in told.items() if wrong} == {}
    for topic, account in accounts(log, played.held).items():
        if "historian" in roles or topic == "social.events":
            assert account.closed, (topic, account)
    assert plain.exits == [] and plain.restarts == 0
    # One that is still starting when it is to end has not begun to listen to SIGTERM.
    assert set(played.codes.values()) <= {0, -signal.SIGTERM}, played.codes
    return played


async def test_ingest_roles_that_are_killed_anywhere_say_the_same(tmp_path: Path) -> None:
    played = await same_as_undisturbed(
        [
            events(400), kill("tracker"),
            events(400), kill("tracker", at=BEFORE_PUBLISH), kill("historian", at=BEFORE_COMMIT),
            events(400), kill("tracker", at=AMID_PUBLISH), kill("historian"),
            events(400), kill("tracker", at=AMID_CHECKPOINT),
            events(400), pause("broker", 3), kill("tracker", at=BEFORE_COMMIT),
            events(400),
        ],
        tmp_path, ["tracker", "historian"],
    )  # fmt: skip
    assert played.exits == []
    assert played.restarts >= 5  # a blow may fall on one that another has killed already
    assert len(played.held["cascade.snapshots"]) > 300


@pytest.mark.both
async def test_model_roles_that_are_killed_anywhere_say_the_same(tmp_path: Path) -> None:
    roles = ["tracker", "historian", "forecaster", "ranker", "scorer"]
    played = await same_as_undisturbed(
        [
            events(300), kill("forecaster", at=AMID_PUBLISH), kill("scorer", at=BEFORE_COMMIT),
            events(400), kill("forecaster", at=BEFORE_COMMIT), kill("ranker", at=BEFORE_COMMIT),
            events(400), kill("forecaster"), kill("scorer", at=AMID_PUBLISH),
            events(400),
        ],
        tmp_path, roles,
    )  # fmt: skip
    assert played.exits == []
    assert played.restarts >= 4
    assert len(played.held["forecast.scores"]) > 300


@pytest.mark.long
async def test_a_worker_that_wakes_after_others_took_over_corrupts_nothing(tmp_path: Path) -> None:
    """Frozen when a batch is computed and not sent: what it has in hand is old when it wakes."""
    played = await same_as_undisturbed(
        [
            events(300), freeze("tracker", at=BEFORE_PUBLISH),
            events(300), events(300), wake("tracker"), freeze("forecaster", at=BEFORE_PUBLISH),
            events(300), events(300), wake("forecaster"),
            events(300),
        ],
        tmp_path, ["tracker", "forecaster"], workers=2,
    )  # fmt: skip
    assert {"tracker frozen before publish", "forecaster frozen before publish"} <= {*played.kills}
    assert played.exits == []


@pytest.mark.long
async def test_workers_that_come_and_go_under_load_say_the_same(tmp_path: Path) -> None:
    played = await same_as_undisturbed(
        [
            events(400), start("tracker", "1"), start("historian", "1"),
            events(800), kill("tracker", "1"), kill("historian"),
            events(400), stop("tracker"),
            events(400), start("tracker", "0"), stop("historian", "1"),
            events(400),
        ],
        tmp_path, ["tracker", "historian"],
    )  # fmt: skip
    assert played.exits == []


@pytest.mark.long
async def test_roles_wait_for_a_broker_that_is_away_and_health_says_so(tmp_path: Path) -> None:
    roles = ["tracker", "historian", "forecaster", "ranker", "scorer"]
    settings = SETTINGS.having(http_port=free_port())
    log = SentLog(simulated(seed=7), seed=7)
    async with opened(settings, tmp_path / "disturbed") as stage:
        for role in [*roles, "gateway"]:
            stage.start(role)
        async with feeding(stage) as senders:
            await stage.take(events(500), log, senders)
            await told(settings, lambda notes: "has not answered" not in notes)
            stage.brokers[0].signal(signal.SIGSTOP)
            await asyncio.gather(
                told(settings, lambda notes: "has not answered for" in notes),
                asyncio.sleep(60),  # what a role is to outlast
            )
            stage.brokers[0].signal(signal.SIGCONT)
            await stage.take(events(500), log, senders)
            await told(settings, lambda notes: "has not answered" not in notes)
            played = await finish(stage, log, senders)
    assert played.exits == [] and played.restarts == 0, "they were to wait"
    plain = await undisturbed(played, tmp_path / "undisturbed", roles)
    assert not any(differences(played.held, plain.held).values())
    assert all(account.closed for account in accounts(log, played.held).values())


async def told(settings: Settings, enough: Callable[[str], bool]) -> None:
    """Returns once health says what is enough."""
    url = f"http://127.0.0.1:{settings.http_port}/api/health"
    said: Any = None
    async with httpx2.AsyncClient(timeout=PATIENCE) as client:

        async def found() -> bool:
            nonlocal said
            try:
                said = (await client.get(url)).json()
            except httpx2.TransportError:
                return False  # not there yet
            notes = " ".join(note["text"] for note in said["notes"])
            return bool(said["checked_wall"] and enough(notes))

        await until(found, lambda: f"health, which says {said}")
