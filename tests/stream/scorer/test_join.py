"""Forecasts and outcomes joined: every pair once or more, always alike, in whatever order."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from stream.scorer.join import ScoredPartition, Taken, awaited
from topics.catalogue import SCORER_LEDGER
from topics.records import (
    CascadeOutcome,
    Correction,
    ForecastScore,
    HorizonForecast,
    PopularityForecast,
    Quantiles,
)

HORIZONS = (3600.0, 14_400.0, 86_400.0)
START = 1_000_000.0


def forecast(
    cascade: str, age: float, observed: int = 10, model: str = "served", **changes: object
) -> PopularityForecast:
    made = PopularityForecast(
        forecast_id=f"{cascade}@a{age:g}/{model}-1",
        cascade_id=cascade,
        published_at=START,
        observed_at=START + age,
        age=age,
        observed_count=observed,
        horizons=[
            HorizonForecast(h, 60.0, Quantiles(12.0, 20.0, 40.0, 60.0, 90.0), 41.0)
            for h in HORIZONS
            if h > age
        ],
        viral_probability=0.1,
        viral_count=500,
        model=model,
        model_version="1",
        degraded=False,
        produced_at=START,
    )
    return msgspec.structs.replace(made, **changes)


def outcome(cascade: str, age: float, count: int = 73, start: float = START) -> CascadeOutcome:
    return CascadeOutcome(cascade, start, age, count, age == HORIZONS[-1])


def feed(partition: ScoredPartition, record: PopularityForecast | CascadeOutcome) -> Taken:
    if isinstance(record, CascadeOutcome):
        return partition.take_outcome(record)
    return partition.take_forecast(awaited(record, shadow=record.model != "served"))


def partition() -> ScoredPartition:
    return ScoredPartition(patience=3600.0, max_entries=1_000)


def test_a_score_says_how_far_off_the_forecast_was() -> None:
    scored = partition()
    feed(scored, forecast("c", 300.0))
    [score] = feed(scored, outcome("c", 3600.0)).scores
    assert (score.forecast_id, score.horizon, score.age) == ("c@a300/served-1", 3600.0, 300.0)
    assert (score.predicted, score.realised, score.observed_count) == (41.0, 73, 10)
    assert score.log2_error == math.log2(42) - math.log2(74)
    assert score.increment_log2_error == math.log2(1 + 31) - math.log2(1 + 63) == -1
    assert score.inside_interval
    assert (score.low, score.high, score.own_low, score.own_high) == (12, 90, 12, 90)
    [outside] = feed(scored, outcome("c", 14_400.0, count=91)).scores
    assert not outside.inside_interval
    assert feed(scored, outcome("c", 7200.0)).scores == []  # nothing was forecast for it


def test_a_bound_that_is_a_whole_number_holds_it() -> None:
    scored = partition()
    feed(scored, forecast("c", 300.0))
    assert feed(scored, outcome("c", 3600.0, count=12)).scores[0].inside_interval
    assert feed(scored, outcome("c", 14_400.0, count=90)).scores[0].inside_interval
    assert not feed(scored, outcome("c", 86_400.0, count=11)).scores[0].inside_interval


def test_what_is_corrected_is_scored_as_stated_and_the_models_own_is_known() -> None:
    scored = partition()
    plain = forecast("c", 300.0)
    corrected = [
        msgspec.structs.replace(h, correction=Correction(30.0, 50.0, 7, 44.0))
        for h in plain.horizons
    ]
    feed(scored, msgspec.structs.replace(plain, horizons=corrected))
    [score] = feed(scored, outcome("c", 3600.0, count=73)).scores
    assert score.inside_interval
    assert (score.low, score.high, score.own_low, score.own_high) == (12, 90, 30, 50)
    assert score.own_predicted == 44 != score.predicted


def test_what_is_not_corrected_is_the_models_own() -> None:
    scored = partition()
    plain = forecast("c", 300.0)
    by_interval_alone = [
        msgspec.structs.replace(h, correction=Correction(30.0, 50.0, 7)) for h in plain.horizons
    ]
    feed(scored, plain)
    feed(scored, msgspec.structs.replace(plain, forecast_id="older", horizons=by_interval_alone))
    for score in feed(scored, outcome("c", 3600.0, count=73)).scores:
        assert score.own_predicted == score.predicted


def test_the_order_of_reading_does_not_matter() -> None:
    records = [forecast(c, age, model=m) for c in "abc" for age in (300.0, 3600.0, 7200.0)
               for m in ("served", "seismic")]  # fmt: skip
    records += [outcome(c, age, count=50 + ord(c)) for c in "abc" for age in HORIZONS]
    wanted: set[ForecastScore] = set()
    for seed in range(20):
        random.Random(seed).shuffle(records)
        scored = partition()
        scores = [score for record in records for score in feed(scored, record).scores]
        assert len(scores) == len(set(scores)) == 3 * 2 * (3 + 2 + 2)
        wanted = wanted or set(scores)
        assert set(scores) == wanted


def test_a_repeat_gives_the_same_scores_whatever_it_says() -> None:
    scored = partition()
    first = forecast("c", 300.0)
    assert feed(scored, first).entry is not None
    scores = feed(scored, outcome("c", 3600.0)).scores
    changed = msgspec.structs.replace(first, horizons=first.horizons[:2], produced_at=START + 9)
    again = feed(scored, changed)
    assert (again.scores, again.entry) == (scores, None)
    repeated = feed(scored, outcome("c", 3600.0, count=1))
    assert (repeated.scores, repeated.entry) == (scores, None)
    assert (scored.repeats, scored.entries) == (2, 2)


def test_of_two_forecasts_of_one_id_the_first_is_scored() -> None:
    scored = partition()
    feed(scored, outcome("c", 3600.0))
    first = feed(scored, forecast("c", 300.0)).scores
    other = [HorizonForecast(3600.0, 500.0, Quantiles(400.0, 450.0, 500.0, 550.0, 600.0), 500.0)]
    assert feed(scored, forecast("c", 300.0, horizons=other)).scores == first


def test_the_ledger_restores_what_was_held() -> None:
    records = [forecast("a", 300.0), outcome("a", 3600.0), forecast("b", 300.0),
               forecast("b", 300.0, model="seismic")]  # fmt: skip
    before, after = partition(), partition()
    for record in records:
        entry = feed(before, record).entry
        assert entry is not None
        after.take_entry(SCORER_LEDGER.codec.decode(entry))
    assert after.entries == before.entries == 4
    for record in (outcome("a", 14_400.0), outcome("b", 3600.0), forecast("a", 900.0)):
        assert feed(after, record) == feed(before, record)


def test_a_cascade_published_at_another_time_than_was_thought_is_not_scored() -> None:
    scored = partition()
    feed(scored, forecast("c", 300.0))
    assert feed(scored, outcome("c", 3600.0, start=START + 5)).scores == []
    assert scored.moved == 1


@pytest.mark.parametrize("ahead", ["forecasts", "outcomes"])
def test_nothing_expires_while_one_topic_is_behind(ahead: str) -> None:
    scored = partition()
    behind, late = forecast("c", 300.0), outcome("c", 3600.0)
    far = {"published_at": START + 1e7, "observed_at": START + 1e7 + 300}
    if ahead == "forecasts":
        feed(scored, behind)
        feed(scored, forecast("d", 300.0, **far))
        scored.expire()
        assert len(feed(scored, late).scores) == 1
    else:
        feed(scored, late)
        feed(scored, outcome("d", 3600.0, start=START + 1e7))
        scored.expire()
        assert len(feed(scored, behind).scores) == 1


def test_a_shadow_that_is_ahead_does_not_make_anyone_forget() -> None:
    scored = partition()
    feed(scored, outcome("c", 3600.0))
    far = {"published_at": START + 1e7, "observed_at": START + 1e7 + 300}
    feed(scored, forecast("d", 300.0, model="seismic", **far))
    feed(scored, outcome("d", 3600.0, start=START + 1e7))
    scored.expire()
    assert len(feed(scored, forecast("c", 300.0)).scores) == 1


def test_what_is_past_is_forgotten_and_what_had_no_outcome_counted() -> None:
    scored = partition()
    feed(scored, forecast("c", 300.0))
    feed(scored, outcome("c", 3600.0))
    past = HORIZONS[-1] + 3600.0
    for later, held in ((past, 4), (past + 1, 2)):
        at = START + later
        feed(scored, forecast("d", 0.0, published_at=at, observed_at=at))
        feed(scored, outcome("d", 0.0, start=at))
        scored.expire()
        assert scored.entries == held
    assert scored.unmatched == 2


def test_a_new_cascade_finds_no_room_and_one_that_is_held_goes_on() -> None:
    scored = ScoredPartition(patience=0.0, max_entries=2)
    assert feed(scored, forecast("a", 300.0)).entry is not None
    assert feed(scored, forecast("a", 900.0)).entry is not None
    assert feed(scored, forecast("b", 300.0)) == Taken([], None)
    assert feed(scored, outcome("b", 3600.0)) == Taken([], None)
    assert len(feed(scored, outcome("a", 3600.0)).scores) == 2
    assert (scored.refused, scored.entries) == (2, 3)
