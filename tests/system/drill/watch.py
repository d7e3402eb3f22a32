"""Runs cases of an alert drill: cause, firing, remedy, quiet; and tells how long each took."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError

from tests.system.drill.site import DrillError, Site
from topics.errors import TidecastError

_LOOK_SECONDS = 0.5
_CALM_SECONDS = 10.0  # for which an alert is to stay away before it counts as quiet

Play = Callable[[Site], AbstractAsyncContextManager[None]]
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Case:
    """One cause of one or more alerts.

    Attributes:
        alerts: names, and the labels by which the alert of this cause is told from others'.
        cause, remedy: in words.
        play: on entering it breaks something, on leaving it does what the page says.
        needs: the roles that have to run.
        ready: returns when it may begin, such as after a while of usual traffic.
        traffic: whether the usual traffic has to be there.
        lane: cases of one lane run one after another, lanes side by side; those without one run
            alone, when the lanes are done.
        patience: seconds that each of firing and going quiet may take.
    """

    alerts: Mapping[str, Mapping[str, str]]
    cause: str
    remedy: str
    play: Play
    needs: Sequence[str]
    ready: Callable[[Site], Awaitable[None]] | None = None
    traffic: bool = True
    lane: str = ""
    patience: float = 300.0


@dataclass
class Result:
    """What became of an alert; times in seconds, from the cause on and from the remedy on."""

    alert: str
    cause: str
    remedy: str
    summary: str = ""
    pending: float | None = None
    firing: float | None = None
    quiet: float | None = None
    trouble: str = "not caused"

    @property
    def is_well(self) -> bool:
        """Whether it fired and went quiet."""
        return not self.trouble

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        rounded = {
            name: round(value, 1) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(self).items()
        }
        return {**rounded, "well": self.is_well}


async def drill(site: Site, cases: Iterable[Case], tell: Tell) -> list[Result]:
    """Drills every case and returns what became of each alert, in their order."""
    results: dict[str, Result] = {}
    lanes: dict[str, list[Case]] = {}
    for case in cases:
        lanes.setdefault(case.lane, []).append(case)
        results |= {name: Result(name, case.cause, case.remedy) for name in case.alerts}
    alone = lanes.pop("", [])

    async def along(lane: Sequence[Case]) -> None:
        # Going quiet may take as long as what a rule looks back on: the next need not wait.
        calming = []
        for case in lane:
            calming.append(asyncio.create_task(await _fired(site, case, results, tell)))
        await asyncio.gather(*calming)

    await asyncio.gather(*(along(lane) for lane in lanes.values()))
    await along(alone)
    return list(results.values())


async def _fired(
    site: Site, case: Case, results: Mapping[str, Result], tell: Tell
) -> Coroutine[Any, Any, None]:
    """Causes the alerts of a case, and takes the cause away; returns what waits for the quiet."""
    mine = [results[name] for name in case.alerts]
    names = ", ".join(case.alerts)
    try:
        await _until_quiet(site, case, None, tell)
        if case.ready is not None:
            await case.ready(site)
        began = time.monotonic()
        async with case.play(site):
            tell(f"{names}: {case.cause}")
            failure = await _until_firing(site, case, mine, began, tell)
            remedied = time.monotonic()
            tell(f"{names}: {case.remedy}")
        if failure is not None:  # what was broken is mended all the same
            raise failure
    except (DrillError, TidecastError, KafkaError, OSError) as error:
        for result in mine:
            result.trouble = str(error) or repr(error)
        tell(f"{names}: {error}")
        return _nothing()
    return _calmed(site, case, mine, remedied, tell)


async def _nothing() -> None:
    return None


async def _calmed(
    site: Site, case: Case, mine: Sequence[Result], remedied: float, tell: Tell
) -> None:
    try:
        quiet = await _until_quiet(site, case, remedied, tell)
    except DrillError as error:
        for result in mine:
            result.trouble = str(error)
        tell(str(error))
        return
    for result in mine:
        result.quiet, result.trouble = quiet[result.alert] - remedied, ""


def _of(case: Case, name: str, alerts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of the alerts that are this case's."""
    labels = {"alertname": name, **case.alerts[name]}
    return [alert for alert in alerts if labels.items() <= alert["labels"].items()]


async def _until_firing(
    site: Site, case: Case, mine: Sequence[Result], began: float, tell: Tell
) -> DrillError | None:
    """Waits until the alerts fire; what is wrong if they do not."""
    deadline = began + case.patience
    while True:
        alerts = await site.alerts()
        now = time.monotonic()
        for result in mine:
            found = _of(case, result.alert, alerts)
            if found and result.pending is None:
                result.pending = now - began
            firing = [alert for alert in found if alert["state"] == "firing"]
            if firing and result.firing is None:
                result.firing = now - began
                result.summary = firing[0]["annotations"]["summary"]
                tell(f"{result.alert} fires after {result.firing:.0f} s: {result.summary}")
        missing = [result.alert for result in mine if result.firing is None]
        if not missing:
            return None
        if now > deadline:
            return DrillError(f"{', '.join(missing)} did not fire within {case.patience:.0f} s")
        site.check()
        await asyncio.sleep(_LOOK_SECONDS)


async def _until_quiet(site: Site, case: Case, since: float | None, tell: Tell) -> dict[str, float]:
    """When each alert of the case went quiet for good, by name.

    Args:
        since: the remedy; None where nothing was done yet.
    """
    deadline = time.monotonic() + case.patience
    calm = 0.0 if since is None else _CALM_SECONDS
    quiet: dict[str, float] = {}
    while True:
        alerts = await site.alerts()
        now = time.monotonic()
        for name in case.alerts:
            if _of(case, name, alerts):
                quiet.pop(name, None)
            else:
                quiet.setdefault(name, now)
        if quiet.keys() == case.alerts.keys() and now - max(quiet.values()) >= calm:
            if since is not None:
                for name, at in quiet.items():
                    tell(f"{name} is quiet after {at - since:.0f} s")
            return quiet
        if now > deadline:
            loud = ", ".join(case.alerts.keys() - quiet.keys())
            raise DrillError(
                f"{loud} did not go quiet within {case.patience:.0f} s"
                if since is not None
                else f"{loud} is there before anything was broken"
            )
        site.check()
        await asyncio.sleep(_LOOK_SECONDS)
