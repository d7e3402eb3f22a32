"""Three brokers that hold each record, of which two have to have it: some end, and begin again.

What is said has to be what an undisturbed run says of the same log, and all that was sent is
accounted for. The roles are to outlast it: none ends by itself.
"""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import pytest

from stream.http.listening import free_port
from tests.system.crashes.sameness import accounts, differences
from tests.system.crashes.scenario import events, kill, roll
from tests.system.crashes.sent_log import SentLog, simulated
from tests.system.crashes.stage import SETTINGS, feeding, finish, opened, undisturbed
from tests.system.crashes.test_crashes import same_as_undisturbed, told

pytestmark = [pytest.mark.system, pytest.mark.apache]

ROLES = ["tracker", "historian", "forecaster", "ranker", "scorer"]


async def test_a_leader_that_dies_under_load_and_a_rolling_restart_change_nothing(
    tmp_path: Path,
) -> None:
    played = await same_as_undisturbed(
        [events(300), kill("broker", "1"), events(300), events(100), roll(), events(300)],
        tmp_path, ROLES, brokers=3,
    )  # fmt: skip
    assert played.exits == [] and played.restarts == 0, "the roles were to wait"
    assert len(played.held["forecast.scores"]) > 300


def away_for(notes: str) -> float:
    """Seconds for which the brokers have not answered, as health says."""
    found = re.search(r"has not answered for ([\d.]+) s", notes)
    return 0.0 if found is None else float(found[1])


async def test_roles_wait_while_two_of_three_brokers_are_gone_and_health_says_so(
    tmp_path: Path,
) -> None:
    settings = SETTINGS.having(http_port=free_port())
    log = SentLog(simulated(seed=7), seed=7)
    async with opened(settings, tmp_path / "disturbed", brokers=3) as stage:
        for role in [*ROLES, "gateway"]:
            stage.start(role)
        async with feeding(stage) as senders:
            await stage.take(events(300), log, senders)
            await told(settings, lambda notes: "has not answered" not in notes)
            for broker in stage.brokers[1:]:
                broker.signal(signal.SIGKILL)
            more = asyncio.create_task(stage.take(events(300), log, senders))
            # Longer than aiokafka waits for a request, after which it gives up what it was to send.
            await told(settings, lambda notes: away_for(notes) > 45)
            assert not more.done()
            for broker in stage.brokers[1:]:
                broker.start()
            await more
            await told(settings, lambda notes: "has not answered" not in notes)
            played = await finish(stage, log, senders)
    assert played.exits == [] and played.restarts == 0, "the roles were to wait"
    plain = await undisturbed(played, tmp_path / "undisturbed", ROLES)
    assert not any(differences(played.held, plain.held).values())
    assert all(account.closed for account in accounts(log, played.held).values())
