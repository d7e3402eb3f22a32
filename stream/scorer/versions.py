"""Versions of a model at work: which is served, how each has done, and whether one is better.

VersionError(TidecastError)
    NotBetterError      a version is not surely better than the one that is served
    NoWayBackError      nothing says what was served before
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from aiokafka import AIOKafkaProducer, ConsumerRecord

from models import registry
from models.judging.confidence import LEAST, lower_bound
from stream.kafka import broker
from stream.kafka.access.security import connection
from stream.kafka.past import END, decoded, reread_here
from stream.kafka.reader import reader
from stream.scorer.quality import Figures, Kind, figures, kind_of, row_of
from stream.serving import rankers as ranking_model
from stream.serving.loading import describe, folder_of, load_update, verified_folder
from stream.settings import Settings
from topics.catalogue import FORECAST_SCORES, MODEL_UPDATES, POPULARITY_FORECASTS, Topic
from topics.errors import TidecastError
from topics.records import ForecastScore, ModelUpdate, PopularityForecast

# Messages of each partition in which the served version is looked for; when there is no traffic
# they are heartbeats, of almost three hours.
_RECENT = 2_000


class VersionError(TidecastError):
    """What was asked of a version cannot be done."""


class NotBetterError(VersionError):
    """A version is not surely better than the one that is served."""


class NoWayBackError(VersionError):
    """Nothing says what was served before."""


# ------------------------------------------------------------------ what is served


async def latest_update(settings: Settings, name: str) -> ModelUpdate | None:
    """The latest update of a model; None where there is none.

    Raises:
        BrokerError: no broker answers, or the topic is missing.
    """
    await broker.partitions(settings, [MODEL_UPDATES.name])
    found: list[ModelUpdate] = []

    def take_in(records: Sequence[ConsumerRecord]) -> None:
        found.extend(u for u in decoded(MODEL_UPDATES, records) if u.name == name)

    await reread_here(settings, MODEL_UPDATES, 0, 0, END, take_in)
    return found[-1] if found else None


async def served_version(settings: Settings, name: str) -> str | None:
    """The version that made the newest forecast of a model; None where there is none lately.

    Raises:
        BrokerError: no broker answers, or the topic is missing.
    """
    newest: PopularityForecast | None = None
    async for forecast in _tail(settings, POPULARITY_FORECASTS):
        if forecast.model != name or forecast.degraded:
            continue
        if newest is None or forecast.produced_at > newest.produced_at:
            newest = forecast
    return None if newest is None else newest.model_version


async def _tail(settings: Settings, topic: Topic) -> Any:
    """The last records of each partition of a topic."""
    partitions = await broker.partitions(settings, [topic.name])
    async with reader(settings) as consumer:
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        for source in partitions:
            consumer.seek(source, max(begins[source], ends[source] - _RECENT))
        while any([await consumer.position(source) < ends[source] for source in partitions]):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for record in decoded(topic, messages):
                    yield record


async def announce(settings: Settings, update: ModelUpdate) -> ModelUpdate:
    """Writes an update, with what it replaces, and waits until all replicas have it.

    Raises:
        BrokerError: no broker answers, or a topic is missing.
    """
    served = await served_version(settings, update.name)
    if served is None:
        latest = await latest_update(settings, update.name)
        served = None if latest is None else latest.version
    replaces = served if served != update.version else None
    update = ModelUpdate(update.name, update.version, update.uri, update.digest, replaces)
    await broker.partitions(settings, [MODEL_UPDATES.name])
    async with AIOKafkaProducer(**connection(settings), acks="all") as producer:
        await producer.send_and_wait(
            MODEL_UPDATES.name, MODEL_UPDATES.codec.encode(update), key=update.name.encode()
        )
    return update


async def way_back(settings: Settings, name: str) -> ModelUpdate:
    """The update that would serve what the latest one replaced, from the same registry.

    Raises:
        BrokerError: no broker answers, or the topic is missing.
        NoWayBackError: nothing says what that was.
        LoadingError, BrokenModelError: it does not load any more.
    """
    latest = await latest_update(settings, name)
    if latest is None:
        raise NoWayBackError(
            f"no version of {name} was published on {settings.kafka}, so there is none to go back "
            "to; serve one with `tidecast models publish`"
        )
    if latest.replaces is None:
        raise NoWayBackError(
            f"the update to {name} {latest.version} does not say what it replaced; choose a "
            "version with `tidecast models publish`"
        )
    root = folder_of(latest).parent.parent
    update = describe(name, latest.replaces, root)
    check(settings, update)
    return update


def check(settings: Settings, update: ModelUpdate) -> None:
    """Sees that the version that an update names loads and answers, be it a forecaster or a ranker.

    Raises:
        LoadingError, BrokenModelError: it does not.
    """
    root = verified_folder(update).parent.parent
    if registry.read_card(update.name, update.version, root).kind in registry.RANKERS:
        ranking_model.load_update(settings, update)
    else:
        load_update(settings, update)


# ------------------------------------------------------------------ how versions have done


async def read_scores(settings: Settings) -> list[ForecastScore]:
    """The scores on `forecast.scores`, each once, in order of partition and offset.

    Raises:
        BrokerError: no broker answers, or the topic is missing.
    """
    found: dict[tuple[str, float], ForecastScore] = {}

    def take_in(records: Sequence[ConsumerRecord]) -> None:
        for score in decoded(FORECAST_SCORES, records):
            found[score.forecast_id, score.horizon] = score

    for source in await broker.partitions(settings, [FORECAST_SCORES.name]):
        await reread_here(settings, FORECAST_SCORES, source.partition, 0, END, take_in)
    return list(found.values())


def summary(
    scores: Sequence[ForecastScore], horizons: Sequence[float]
) -> Iterator[tuple[Kind, float | None, Figures]]:
    """The figures of each kind at each horizon and, with None, at all of them together."""
    rows: dict[Kind, dict[float, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        if score.horizon in horizons:
            rows[kind_of(score)][score.horizon].append(row_of(score))
    for kind in sorted(rows, key=lambda kind: (kind.kind != "served", kind)):
        at = rows[kind]
        for horizon in sorted(at):
            yield kind, horizon, figures(np.array(at[horizon]))
        yield kind, None, figures(np.array([row for each in at.values() for row in each]))


class Comparison(NamedTuple):
    """Two versions on the same snapshots and horizons.

    Attributes:
        cascades: that both have been scored on.
        served, candidate: mean squared errors of log2(1 + increment), each cascade counting once.
        surely: by how much the candidate's is lower at least, whenever one looks.
    """

    cascades: int
    served: float
    candidate: float
    surely: float


def compare(scores: Sequence[ForecastScore], name: str, served: str, candidate: str) -> Comparison:
    """A version that was tried as a shadow beside the one that was served."""
    answered: dict[tuple[str, float], float] = {}
    for score in scores:
        if kind_of(score) == Kind("served", name, served):
            answered[_asked(score), score.horizon] = score.increment_log2_error**2
    pairs: dict[str, list[tuple[float, float]]] = {}
    for score in scores:
        if kind_of(score) == Kind("shadow", name, candidate):
            error = answered.get((_asked(score), score.horizon))
            if error is not None:
                both = error, score.increment_log2_error**2
                pairs.setdefault(score.cascade_id, []).append(both)
    if not pairs:
        return Comparison(0, np.nan, np.nan, -np.inf)
    # Forecasts of one cascade err together: it is the cascades that are independent.
    means = np.array([np.mean(each, axis=0) for each in pairs.values()])
    lower = means[:, 0] - means[:, 1]
    return Comparison(
        len(means), float(means[:, 0].mean()), float(means[:, 1].mean()), lower_bound(lower)
    )


def _asked(score: ForecastScore) -> str:
    """The id of the snapshot that a forecast answers."""
    return score.forecast_id.removesuffix(f"/{score.model}-{score.model_version}")


def assert_better(found: Comparison, name: str, served: str | None, candidate: str) -> None:
    """Sees that a version is better on outcomes that have come.

    Raises:
        NotBetterError: it is not, or too little is known; says what to do.
    """
    over = "`--force` promotes it all the same"
    if found.cascades == 0:
        raise NotBetterError(
            f"{name} {candidate} has no score on outcomes that {name} {served} was scored on too; "
            f"have it tried with TIDECAST_SHADOWS={name}:{candidate} and wait; {over}"
        )
    if found.cascades < LEAST:
        raise NotBetterError(
            f"{name} {candidate} was scored beside {name} {served} on {found.cascades} cascades; "
            f"at least {LEAST} are needed; {over}"
        )
    if not found.surely > 0:
        raise NotBetterError(
            f"{name} {candidate} has a squared error of {found.candidate:.4f} where {name} "
            f"{served} has {found.served:.4f}, on {found.cascades} cascades: it is not 95 % sure "
            f"to be better; wait for more; {over}"
        )
