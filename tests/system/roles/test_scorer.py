"""The scorer as a process: no score is lost, none contradicts another, whatever becomes of it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from aiokafka.admin import NewPartitions

from models.judging.conformal import Tracked
from stream.kafka.broker import connect_admin, create_topics
from stream.scorer.join import ScoredPartition, awaited, increment_log2
from stream.scorer.role import MESSAGES_A_BATCH
from tests.system.conftest import died
from tests.system.crashes.mortal_role import AMID_PUBLISH
from topics.catalogue import (
    CASCADE_OUTCOMES,
    DEAD_LETTERS,
    FORECAST_SCORES,
    MODEL_CALIBRATION,
    POPULARITY_FORECASTS,
    SCORER_LEDGER,
    SHADOW_FORECASTS,
    Topic,
)
from topics.records import (
    CascadeOutcome,
    ForecastScore,
    HorizonForecast,
    ModelCalibration,
    PopularityForecast,
    Quantiles,
)

pytestmark = pytest.mark.system

ROLE = "scorer"
HORIZONS = (3600.0, 14_400.0, 86_400.0, 172_800.0)
AGES = (300.0, 1800.0, 7200.0)
CASCADES = 400
Message = tuple[Topic, Any]


def forecast(number: int, age: float, model: str) -> PopularityForecast:
    spread = Quantiles(12.0, 20.0 + number % 7, 40.0, 60.0, 90.0)
    return PopularityForecast(
        forecast_id=f"cascade-{number}@a{age:g}/{model}-1",
        cascade_id=f"cascade-{number}",
        published_at=1e6 + number,
        observed_at=1e6 + number + age,
        age=age,
        observed_count=10,
        horizons=[
            HorizonForecast(h, 60.0, spread, 40.0 + number % 11) for h in HORIZONS if h > age
        ],
        viral_probability=0.1,
        viral_count=500,
        model=model,
        model_version="1",
        degraded=False,
        produced_at=1e6,
    )


def outcome(number: int, age: float) -> CascadeOutcome:
    count = 10 + number * 37 % 101
    return CascadeOutcome(f"cascade-{number}", 1e6 + number, age, count, age == HORIZONS[-1])


def traffic(cascades: int = CASCADES) -> list[Message]:
    """All messages, in an order in which any two that make a pair may be far apart."""
    made: list[Message] = []
    for number in range(cascades):
        for age in AGES:
            made.append((POPULARITY_FORECASTS, forecast(number, age, "served")))
            made.append((SHADOW_FORECASTS, forecast(number, age, "seismic")))
        made += [(CASCADE_OUTCOMES, outcome(number, age)) for age in HORIZONS]
    random.Random(5).shuffle(made)
    return made


async def publish(cluster: Any, messages: Sequence[Message]) -> None:
    by_topic: dict[str, tuple[Topic, list[tuple[str, bytes]]]] = {}
    for topic, record in messages:
        _, pairs = by_topic.setdefault(topic.name, (topic, []))
        pairs.append((record.cascade_id, topic.codec.encode(record)))
    for topic, pairs in by_topic.values():
        await cluster.publish(topic, pairs)


def expected(messages: Sequence[Message]) -> set[ForecastScore]:
    """The scores that there are to be, each once."""
    partition = ScoredPartition(patience=1e9, max_entries=1 << 30)
    found = []
    for topic, record in messages:
        if topic is CASCADE_OUTCOMES:
            found += partition.take_outcome(record).scores
        else:
            found += partition.take_forecast(awaited(record, topic is SHADOW_FORECASTS)).scores
    assert len(set(found)) == len(found)
    return set(found)


def scores(records: Sequence[ConsumerRecord]) -> list[ForecastScore]:
    return [FORECAST_SCORES.codec.decode(record.value) for record in records]


def all_of(whole: set[ForecastScore]) -> Callable[[list[ConsumerRecord]], bool]:
    """Whether records hold so many different scores."""

    def enough(seen: list[ConsumerRecord]) -> bool:
        return len(seen) >= len(whole) and len(set(scores(seen))) >= len(whole)

    return enough


@pytest.mark.long
async def test_a_scorer_killed_again_and_again_loses_and_contradicts_nothing(cluster: Any) -> None:
    messages = traffic()
    whole = expected(messages)
    kills = 3
    part = len(messages) // (kills + 1)
    mortal = cluster.start_mortal(ROLE)
    for kill in range(kills):
        first, middle, end = (kill * part, kill * part + part // 2, (kill + 1) * part)
        before = len(await cluster.read(FORECAST_SCORES))
        await publish(cluster, messages[first:middle])
        await cluster.read(FORECAST_SCORES, lambda seen, n=before: len(seen) > n)
        mortal.traps.set(AMID_PUBLISH, signal.SIGKILL)
        await publish(cluster, messages[middle:end])
        await died(mortal)
        if kill < kills - 1:
            mortal.start()
    last = cluster.start(ROLE)
    await publish(cluster, messages[kills * part :])
    records = await cluster.read(FORECAST_SCORES, all_of(whole))
    said = scores(records)
    assert set(said) == whole  # so none is lost, and no two of a pair differ
    # Only what was in flight is repeated: a batch of each topic for each kill.
    assert len(said) - len(whole) <= kills * 3 * MESSAGES_A_BATCH * len(HORIZONS)
    lies_in = {r.key: r.partition for r in await cluster.read(CASCADE_OUTCOMES)}
    assert {record.key: record.partition for record in records} == lies_in
    assert (await asyncio.to_thread(last.metrics))["tidecast_scorer_rebuilt_entries_total"] > 0
    cluster.stop(last)
    assert await cluster.read(DEAD_LETTERS) == []


async def test_a_second_worker_takes_its_share_with_what_was_held(cluster: Any) -> None:
    messages = traffic(300)
    whole = expected(messages)
    half = len(messages) // 2
    first = cluster.start(ROLE)
    await publish(cluster, messages[:half])
    held = sum(topic is not CASCADE_OUTCOMES for topic, _ in messages[:half])
    await cluster.read(SCORER_LEDGER, lambda seen: len(seen) >= held)
    second = cluster.start(ROLE, instance="1")
    await cluster.has_joined(second)
    await publish(cluster, messages[half:])
    records = await cluster.read(FORECAST_SCORES, all_of(whole))
    assert set(scores(records)) == whole
    metrics = await asyncio.to_thread(second.metrics)
    assert metrics["tidecast_scorer_rebuilt_entries_total"] > 0
    assert metrics["tidecast_scorer_scored_total"] > 0
    cluster.stop(first, second)


async def test_what_cannot_be_used_is_a_dead_letter_and_the_rest_unharmed(cluster: Any) -> None:
    await cluster.publish(POPULARITY_FORECASTS, [("cascade-1", b"not a forecast")])
    await cluster.publish(CASCADE_OUTCOMES, [("cascade-1", None)])
    messages = traffic(10)
    await publish(cluster, messages)
    cluster.start(ROLE)
    letters = await cluster.read(DEAD_LETTERS, lambda seen: len(seen) >= 2)
    assert sorted((letter.value or b"null") for letter in letters) == [b"not a forecast", b"null"]
    whole = expected(messages)
    records = await cluster.read(FORECAST_SCORES, lambda seen: len(seen) >= len(whole))
    assert Counter(scores(records)) == Counter(whole)


async def test_topics_partitioned_differently_are_refused(bare_cluster: Any) -> None:
    settings = bare_cluster.settings
    await create_topics(settings)
    admin = await connect_admin(settings)
    await admin.create_partitions({CASCADE_OUTCOMES.name: NewPartitions(6)})
    await admin.close()
    worker = bare_cluster.start(ROLE)
    assert await asyncio.to_thread(bare_cluster.ended, worker) == 1
    assert "ScorerError: got partitions cascade.outcomes 6, forecast.scores 4" in worker.tail()


def made_up(version: str, count: int) -> list[ForecastScore]:
    """Scores of one version, its own cascades; too few are within the model's own interval."""
    generator = random.Random(version)
    return [
        ForecastScore(
            forecast_id=f"{version}-{number}",
            cascade_id=version,
            age=300.0,
            horizon=3600.0,
            predicted=40.0,
            realised=10 + round(generator.lognormvariate(3, 1.2)),
            log2_error=0.0,
            inside_interval=number % 10 > 0,
            model="served",
            model_version=version,
            observed_count=10,
            low=15.0,
            high=60.0,
            own_low=20.0,
            own_high=50.0,
        )
        for number in range(count)
    ]


@pytest.mark.both
@pytest.mark.long
async def test_every_score_counts_once_for_the_corrections_whoever_dies(cluster: Any) -> None:
    versions = {str(number): made_up(str(number), 4_000) for number in range(8)}
    pairs = [
        (version, FORECAST_SCORES.codec.encode(score))
        for group in zip(*versions.values(), strict=True)
        for version, score in zip(versions, group, strict=True)
    ]
    await cluster.publish(FORECAST_SCORES, pairs)
    for kill in range(2):
        worker = cluster.start(ROLE)
        await cluster.read(MODEL_CALIBRATION, lambda seen, n=kill: counted(seen) > 9_000 * (n + 1))
        cluster.kill(worker)
    cluster.start(ROLE)
    records = await cluster.read(MODEL_CALIBRATION, lambda seen: counted(seen) == len(pairs))
    for version, latest in newest(records).items():
        tracked = Tracked()
        for score in versions[version]:
            tracked.update(
                *(
                    increment_log2(count, 10)
                    for count in (score.realised, score.predicted, 20.0, 50.0)
                ),
                score.inside_interval,
            )
        assert (latest.lower_correction, latest.correction) == (tracked.lower, tracked.upper)
        assert latest.shift == tracked.shift
        assert (latest.coverage, latest.own_coverage) == (tracked.coverage, tracked.own_coverage)
        assert latest.age_bucket == "under 15m"
    assert counted(records) == len(pairs)


def newest(records: Sequence[ConsumerRecord]) -> dict[str, ModelCalibration]:
    """The latest record of each version."""
    decoded = [MODEL_CALIBRATION.codec.decode(record.value) for record in records]
    return {record.model_version: record for record in decoded}


def counted(records: Sequence[ConsumerRecord]) -> int:
    return sum(record.sample_size for record in newest(records).values())
