"""What breaks, for each alert, and what its page says to do about it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from stream.gateway.roles import ROLES
from stream.scorer.versions import announce
from stream.serving.loading import describe
from stream.settings import Duration, Settings
from tests.system.drill import models
from tests.system.drill.site import EDGE_AGENT, Site, tidecast
from tests.system.drill.traffic import live_segments, promoted
from tests.system.drill.watch import Case
from topics.catalogue import CASCADE_OUTCOMES, POPULARITY_FORECASTS, SOCIAL_EVENTS
from topics.records import (
    CascadeOutcome,
    HorizonForecast,
    PopularityForecast,
    Quantiles,
    SocialEvent,
)

EDGE = "edge-0"
SETTINGS = Settings(
    session_timeout=Duration(6),  # the least that brokers allow
    window=Duration(60),
    snapshot_ages=(Duration(64), Duration(256)),
    horizons=(Duration(300), Duration(900)),
    forecaster=models.NAME,
    forecast_batch=64,
    ranker="decayed",
    edge=EDGE,
    edge_socket="",
)
ALL = (*ROLES, "gateway", "heart", EDGE_AGENT)
_FLOW = ("tracker", "forecaster", "scorer", "gateway", "heart")


# ------------------------------------------------------------------------------------- the roles


@asynccontextmanager
async def role_down(site: Site) -> AsyncIterator[None]:
    """As the kernel does that is out of memory."""
    role = site.roles["historian"]
    role.kill()
    yield
    role.start()
    await site.up([role.name])


@asynccontextmanager
async def no_heart(site: Site) -> AsyncIterator[None]:
    """Nothing is sent that others would pass on."""
    heart = site.roles["heart"]
    heart.kill()
    yield
    heart.start()


@asynccontextmanager
async def broker_away(site: Site) -> AsyncIterator[None]:
    """It stands still: killed, the embedded broker would lose what it has not saved."""
    site.broker.send_signal(signal.SIGSTOP)
    yield
    site.broker.send_signal(signal.SIGCONT)


@asynccontextmanager
async def no_record_taken(site: Site) -> AsyncIterator[None]:
    """The broker answers the historian everything but what it publishes."""
    site.front.takes_records.clear()
    yield
    site.front.takes_records.set()


@asynccontextmanager
async def malformed(site: Site) -> AsyncIterator[None]:
    """A sender cuts its events off."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=site.settings.kafka) as producer:
            while True:
                await producer.send(SOCIAL_EVENTS.name, b'{"cascade_id": "cut', key=b"cut")
                await asyncio.sleep(0.2)

    async with meanwhile(send):
        yield


@asynccontextmanager
async def no_keys(site: Site) -> AsyncIterator[None]:
    """A sender sets no key, so that its cascade lies in all partitions."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=site.settings.kafka) as producer:
            number = 0
            while True:
                at, kind = site.traffic.now(), "share" if number else "post"
                event = SocialEvent("bare", f"bare:{number}", f"u{number}", at, kind)
                await producer.send(SOCIAL_EVENTS.name, SOCIAL_EVENTS.codec.encode(event))
                number += 1
                await asyncio.sleep(0.2)

    async with meanwhile(send):
        yield


# ------------------------------------------------------------------------------- models, lateness


async def forecasts_made(site: Site) -> None:
    """It is known which version is served: `rollback` goes by the forecasts."""
    await site.until("tidecast_forecaster_forecasts_total > 100")


@asynccontextmanager
async def altered_model(site: Site) -> AsyncIterator[None]:
    """A bit of a version is altered, and its update published all the same."""
    root = Path(site.settings.registry)
    models.write_broken(root)
    await announce(site.settings, describe(models.NAME, models.BROKEN, root))
    yield
    await tidecast(site, "models", "rollback", models.NAME)


@asynccontextmanager
async def slow_model(site: Site) -> AsyncIterator[None]:
    """A version is published that is fit for a tenth of the load."""
    models.write_slow(Path(site.settings.registry))
    await tidecast(site, "models", "publish", models.NAME, models.SLOW)
    yield
    await tidecast(site, "models", "rollback", models.NAME)


@asynccontextmanager
async def slow_model_with_a_bound(site: Site) -> AsyncIterator[None]:
    """The same where the setting says that plain answers are better than late ones."""
    site.roles["forecaster"].stop()
    site.roles["forecaster"].start(degrade_after=Duration(1))
    await site.up(["forecaster"])
    async with slow_model(site):
        yield


# -------------------------------------------------------------------------------------- forecasts


async def usual_scores(site: Site) -> None:
    """Enough of a usual day that a change can be told from it."""
    await site.until(
        'sum(tidecast_scorer_scores_total{kind="served", horizon="300"}) > 1000', patience=300
    )


@asynccontextmanager
async def other_cascades(site: Site) -> AsyncIterator[None]:
    """Half of the cascades are promoted ones from now on."""
    async with site.traffic.sending(promoted):
        yield


@asynccontextmanager
async def narrow_intervals(site: Site) -> AsyncIterator[None]:
    """A forecaster of another deployment, which corrects nothing, writes to the same topic."""
    chance = random.Random(3)
    narrow = Quantiles(30.0, 30.0, 31.0, 32.0, 32.0)

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=site.settings.kafka) as producer:
            number = 0
            while True:
                number += 1
                name, born = f"narrow-{number}", site.traffic.now() - 400
                forecast = PopularityForecast(
                    f"{name}@a100/narrow-1", name, born, born + 100, 100.0, 12,
                    [HorizonForecast(300.0, 31.0, narrow)], 0.1, 500, "narrow", "1", False, 0.0,
                )  # fmt: skip
                count = 12 + round(chance.lognormvariate(3, 1))
                outcome = CascadeOutcome(name, born, 300.0, count, False)
                for topic, record in (
                    (POPULARITY_FORECASTS, forecast),
                    (CASCADE_OUTCOMES, outcome),
                ):
                    value = topic.codec.encode(record)
                    await producer.send(topic.name, value, key=name.encode())
                await asyncio.sleep(0.02 if number < 600 else 0.2)

    async with meanwhile(send):
        yield


# ------------------------------------------------------------------------- checkpoints, and edges


@asynccontextmanager
async def no_room_for_checkpoints(site: Site) -> AsyncIterator[None]:
    """A file lies where the folder of the tracker's checkpoints was."""
    folder = site.roles["tracker"].folder / "checkpoints"
    aside = folder.with_name("checkpoints.aside")
    folder.rename(aside)
    folder.touch()
    yield
    folder.unlink()
    aside.rename(folder)


async def obeyed(site: Site) -> None:
    """Windows close and the agent hears of it."""
    await site.until("tidecast_edge_agent_staleness_seconds < 15")


@asynccontextmanager
async def no_ranker(site: Site) -> AsyncIterator[None]:
    """Nobody closes an epoch."""
    site.roles["ranker"].kill()
    yield
    site.roles["ranker"].start()


async def gaining(site: Site) -> None:
    """Decisions are worth something."""
    await site.until("tidecast_ranker_hit_ratio_gained > 0.02")


@asynccontextmanager
async def live_stream(site: Site) -> AsyncIterator[None]:
    """Requests are for what is a second old, and for that once each."""
    async with site.traffic.instead_of_requests(live_segments):
        yield


@asynccontextmanager
async def meanwhile(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Has it work until this is left, or it fails."""
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


CASES = (
    Case(
        {"TidecastRoleDown": {"job": "historian"}},
        cause="the historian is killed",
        remedy="it is started again",
        play=role_down,
        needs=["historian"],
        traffic=False,
        lane="roles",
    ),
    Case(
        {"TidecastHeartbeatMissing": {"role": "tracker"}},
        cause="the heart is killed",
        remedy="it is started again",
        play=no_heart,
        needs=["heart", "tracker", "historian", "gateway"],
        lane="roles",
    ),
    Case(
        {"TidecastDeadLetters": {"role": "tracker"}},
        cause="five malformed events a second",
        remedy="their sender is stopped",
        play=malformed,
        needs=["tracker"],
        lane="roles",
    ),
    Case(
        {"TidecastNoticed": {"role": "tracker", "kind": "no_key"}},
        cause="five events a second without a key",
        remedy="their sender is stopped",
        play=no_keys,
        needs=["tracker"],
        lane="roles",
    ),
    Case(
        {"TidecastRoleAtAStandstill": {"role": "historian"}},
        cause="the broker takes no record of the historian",
        remedy="it takes them again",
        play=no_record_taken,
        needs=["historian", "heart", "gateway"],
        lane="roles",
    ),
    Case(
        {"TidecastModelUpdateRefused": {"job": "forecaster"}},
        cause="an update names a version of which a bit was altered",
        remedy="tidecast models rollback",
        play=altered_model,
        ready=forecasts_made,
        needs=_FLOW,
        lane="models",
    ),
    Case(
        {
            "TidecastRoleLate": {"role": "forecaster"},
            "TidecastForecastsLate": {},
        },
        cause="a version is published that is too slow for the load",
        remedy="tidecast models rollback",
        play=slow_model,
        needs=_FLOW,
        lane="models",
        patience=600,
    ),
    Case(
        {"TidecastForecastsDegraded": {}},
        cause="the same, with TIDECAST_DEGRADE_AFTER=1s",
        remedy="tidecast models rollback",
        play=slow_model_with_a_bound,
        needs=_FLOW,
        lane="models",
        patience=600,
    ),
    Case(
        {
            "TidecastInputDrift": {"what": "events at 64 s"},
            "TidecastErrorDrift": {"model": models.NAME, "version": models.GOOD},
        },
        cause="half of the cascades are promoted: all at once, then nothing",
        remedy="they are stopped",
        play=other_cascades,
        ready=usual_scores,
        needs=_FLOW,
        lane="cascades",
        patience=900,
    ),
    Case(
        {"TidecastCoverageOutOfBand": {"model": "narrow"}},
        cause="forecasts with intervals that hold a tenth, corrected by nobody",
        remedy="who writes them is stopped",
        play=narrow_intervals,
        needs=["scorer"],
        lane="coverage",
        patience=600,
    ),
    Case(
        {
            "TidecastCheckpointFailed": {"job": "tracker"},
            "TidecastCheckpointOld": {"job": "tracker"},
        },
        cause="a file lies where the tracker's checkpoints were",
        remedy="it is removed",
        play=no_room_for_checkpoints,
        needs=["tracker"],
        lane="checkpoints",
        patience=600,
    ),
    Case(
        {"TidecastEdgeAgentStale": {"job": EDGE_AGENT}},
        cause="the ranker is killed",
        remedy="it is started again",
        play=no_ranker,
        ready=obeyed,
        needs=["historian", "ranker", EDGE_AGENT],
        lane="edges",
        patience=600,
    ),
    Case(
        {"TidecastCachesGainNothing": {}},
        cause="requests are for a live stream: what is new, once each",
        remedy="usual requests again",
        play=live_stream,
        ready=gaining,
        needs=["historian", "ranker"],
        lane="edges",
        patience=600,
    ),
    Case(
        {"TidecastRolesUnseen": {}},
        cause="the broker stands still",
        remedy="it goes on",
        play=broker_away,
        needs=["historian", "gateway"],
    ),
)
