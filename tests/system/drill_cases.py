"""What breaks, for each alert, and what its page says to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stream.settings import Duration, Settings
from tests.system.drill_site import Site
from tests.system.drill_watch import Case

SETTINGS = Settings(
    session_timeout=Duration(6),  # the least that brokers allow
    window=Duration(60),
    snapshot_ages=(Duration(64), Duration(256)),
    horizons=(Duration(300), Duration(900)),
)


@asynccontextmanager
async def role_down(site: Site) -> AsyncIterator[None]:
    """A role is killed, as for want of memory."""
    role = site.roles["historian"]
    role.kill()
    yield
    role.start()
    await site.up([role.name])


CASES = (
    Case(
        {"TidecastRoleDown": {"job": "historian"}},
        cause="the historian is killed",
        remedy="it is started again",
        play=role_down,
        needs=["historian"],
        lane="roles",
    ),
)
