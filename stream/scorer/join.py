"""Forecasts held against outcomes: what is awaited in one partition, and the scores of pairs.

A forecast and an outcome of its cascade make a score where a horizon of the one is the age of the
other, to the second, counted from the same publication; nothing is interpolated. Which of them is
read first is chance, for they come by different topics: both wait for the other, and the score is
a function of the two alone. So reading either of them again gives the same scores again.

A cascade is forgotten once both topics are past its last horizon by `patience` in event time: the
slower of them decides, so that neither a forecaster nor a tracker that is behind loses scores.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from models.judging.conformal import ROUNDING
from topics.catalogue import SCORER_LEDGER
from topics.records import (
    AwaitedForecast,
    AwaitedHorizon,
    CascadeOutcome,
    ForecastScore,
    HorizonForecast,
    LedgerEntry,
    PopularityForecast,
)


def awaited(forecast: PopularityForecast, shadow: bool) -> AwaitedForecast:
    """What of a forecast is needed for its scores.

    The point is the one that the squared logarithmic error asks for, where it is stated.
    """
    return AwaitedForecast(
        forecast_id=forecast.forecast_id,
        cascade_id=forecast.cascade_id,
        published_at=forecast.published_at,
        age=forecast.age,
        observed_count=forecast.observed_count,
        horizons=[_awaited(at) for at in forecast.horizons],
        model=forecast.model,
        model_version=forecast.model_version,
        degraded=forecast.degraded,
        shadow=shadow,
    )


def _awaited(at: HorizonForecast) -> AwaitedHorizon:
    predicted = at.expected if at.geometric_mean is None else at.geometric_mean
    own_low, own_high, own_predicted = at.quantiles.p05, at.quantiles.p95, predicted
    if at.correction is not None:
        own_low, own_high = at.correction.p05, at.correction.p95
        if at.correction.geometric_mean is not None:
            own_predicted = at.correction.geometric_mean
    return AwaitedHorizon(
        horizon=at.horizon,
        predicted=predicted,
        low=at.quantiles.p05,
        high=at.quantiles.p95,
        own_low=own_low,
        own_high=own_high,
        own_predicted=own_predicted,
    )


def increment_log2(count: float, observed_count: int) -> float:
    """log2(1 + increment) of a total count."""
    return math.log2(1 + max(count - observed_count, 0.0))


def own_point(score: ForecastScore) -> float:
    """log2(1 + increment) that the model itself forecast, before any correction."""
    own = score.predicted if score.own_predicted is None else score.own_predicted
    return increment_log2(own, score.observed_count)


def score(forecast: AwaitedForecast, at: AwaitedHorizon, outcome: CascadeOutcome) -> ForecastScore:
    """A forecast at one horizon held against the outcome at that age."""
    observed = forecast.observed_count
    realised = increment_log2(outcome.count, observed)
    low, high = increment_log2(at.low, observed), increment_log2(at.high, observed)
    return ForecastScore(
        forecast_id=forecast.forecast_id,
        cascade_id=forecast.cascade_id,
        age=forecast.age,
        horizon=at.horizon,
        predicted=at.predicted,
        realised=outcome.count,
        log2_error=math.log2(1 + at.predicted) - math.log2(1 + outcome.count),
        inside_interval=low - ROUNDING <= realised <= high + ROUNDING,
        model=forecast.model,
        model_version=forecast.model_version,
        published_at=forecast.published_at,
        observed_count=observed,
        increment_log2_error=increment_log2(at.predicted, observed) - realised,
        low=at.low,
        high=at.high,
        own_low=at.own_low,
        own_high=at.own_high,
        own_predicted=at.own_predicted,
        degraded=forecast.degraded,
        shadow=forecast.shadow,
    )


class Taken(NamedTuple):
    """What becomes of a forecast or an outcome.

    Attributes:
        scores: with every counterpart that is known.
        entry: for the ledger; None where it is there already, or nothing is kept.
    """

    scores: list[ForecastScore]
    entry: bytes | None


@dataclass
class _Cascade:
    """Forecasts by id and outcomes by age, packed as in the ledger."""

    forecasts: dict[str, bytes] = field(default_factory=dict)
    outcomes: dict[float, CascadeOutcome] = field(default_factory=dict)
    until: float = -math.inf  # event time of its last horizon

    def __len__(self) -> int:
        return len(self.forecasts) + len(self.outcomes)


class ScoredPartition:
    """What one partition has read and not forgotten.

    Attributes:
        entries: forecasts and outcomes that are held.
        repeats: forecasts and outcomes that were known already.
        refused: of new cascades, that found no room.
        moved: pairs whose cascade turned out to be published at another time.
        unmatched: horizons of forecasts forgotten that had no outcome.

    Args:
        patience: seconds of event time.
        max_entries: a new cascade is passed over while so many are held.
    """

    def __init__(self, patience: float, max_entries: int) -> None:
        self.entries = 0
        self.repeats = self.refused = self.moved = self.unmatched = 0
        self._patience = patience
        self._max_entries = max_entries
        self._cascades: dict[str, _Cascade] = {}
        self._expiries: list[tuple[float, str]] = []  # heap; an entry may be too early
        self._forecast_clock = -math.inf
        self._outcome_clock = -math.inf

    def take_forecast(self, forecast: AwaitedForecast) -> Taken:
        """Takes in a forecast. The first of an id stands, whatever a repeat says."""
        if not forecast.shadow:
            observed_at = forecast.published_at + forecast.age
            self._forecast_clock = max(self._forecast_clock, observed_at)
        if not forecast.horizons:
            return Taken([], None)
        last = max(at.horizon for at in forecast.horizons)
        cascade = self._follow(forecast.cascade_id, forecast.published_at + last)
        if cascade is None:
            return Taken([], None)
        entry = None
        known = cascade.forecasts.get(forecast.forecast_id)
        if known is None:
            entry = SCORER_LEDGER.codec.encode(LedgerEntry(forecast=forecast))
            cascade.forecasts[forecast.forecast_id] = entry
            self.entries += 1
        else:
            self.repeats += 1
            forecast = _unpacked(known)
        return Taken(list(self._pairs([forecast], cascade.outcomes)), entry)

    def take_outcome(self, outcome: CascadeOutcome) -> Taken:
        """Takes in an outcome."""
        matured_at = outcome.published_at + outcome.age
        self._outcome_clock = max(self._outcome_clock, matured_at)
        cascade = self._follow(outcome.cascade_id, matured_at)
        if cascade is None:
            return Taken([], None)
        entry = None
        if outcome.age in cascade.outcomes:
            self.repeats += 1
            outcome = cascade.outcomes[outcome.age]
        else:
            entry = SCORER_LEDGER.codec.encode(LedgerEntry(outcome=outcome))
            cascade.outcomes[outcome.age] = outcome
            self.entries += 1
        forecasts = map(_unpacked, cascade.forecasts.values())
        return Taken(list(self._pairs(forecasts, {outcome.age: outcome})), entry)

    def take_entry(self, entry: LedgerEntry) -> None:
        """Takes in, in silence, what was held before."""
        if entry.forecast is not None:
            self.take_forecast(entry.forecast)
        if entry.outcome is not None:
            self.take_outcome(entry.outcome)

    def expire(self) -> None:
        """Forgets the cascades that nothing is expected for any more."""
        now = min(self._forecast_clock, self._outcome_clock) - self._patience
        while self._expiries and self._expiries[0][0] < now:
            _, name = heapq.heappop(self._expiries)
            cascade = self._cascades[name]
            if cascade.until >= now:
                heapq.heappush(self._expiries, (cascade.until, name))
                continue
            del self._cascades[name]
            self.entries -= len(cascade)
            for packed in cascade.forecasts.values():
                horizons = _unpacked(packed).horizons
                self.unmatched += sum(at.horizon not in cascade.outcomes for at in horizons)

    def _follow(self, name: str, until: float) -> _Cascade | None:
        """The cascade, to be held until then at least; None if it is new and there is no room."""
        cascade = self._cascades.get(name)
        if cascade is None:
            if self.entries >= self._max_entries:
                self.refused += 1
                return None
            cascade = self._cascades[name] = _Cascade(until=until)
            heapq.heappush(self._expiries, (until, name))
        cascade.until = max(cascade.until, until)
        return cascade

    def _pairs(
        self, forecasts: Iterable[AwaitedForecast], outcomes: dict[float, CascadeOutcome]
    ) -> Iterator[ForecastScore]:
        for forecast in forecasts:
            for at in forecast.horizons:
                outcome = outcomes.get(at.horizon)
                if outcome is None:
                    continue
                if outcome.published_at != forecast.published_at:
                    self.moved += 1
                    continue
                yield score(forecast, at, outcome)


def _unpacked(packed: bytes) -> AwaitedForecast:
    entry: LedgerEntry = SCORER_LEDGER.codec.decode(packed)
    assert entry.forecast is not None
    return entry.forecast
