"""From snapshots to forecasts: calls of a model that keep the deadline, and the records of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.interface import Increments
from stream.forecaster.corrections import Corrections
from stream.forecaster.snapshots import Asked
from stream.serving.loading import Loaded
from stream.settings import Settings
from stream.telemetry.traces import TRACEPARENT
from stream.workers.publishing.output import Output
from topics.catalogue import Topic
from topics.records import Correction, HorizonForecast, PopularityForecast, Quantiles


class Call(NamedTuple):
    """What a model is asked at once.

    Attributes:
        asked: with their positions among all that were asked.
        horizons: ages in seconds, shape (horizons,), ascending.
        is_usual: whether the horizons are those of the settings.
    """

    asked: list[tuple[int, Asked]]
    horizons: NDArray[np.float64]
    is_usual: bool

    @property
    def events(self) -> int:
        """The events of all its snapshots."""
        return sum(asked.events for _, asked in self.asked)


class Answers:
    """Has models answer snapshots, each at the horizons beyond its age.

    Args:
        settings: horizons, the viral count and the deadline of a call.
        corrections: of what models answer; None leaves it as it is.
    """

    def __init__(self, settings: Settings, corrections: Corrections | None = None) -> None:
        self._corrections = corrections or Corrections(settings.horizons)
        self._horizons: NDArray[np.float64] = np.array(settings.horizons, np.float64)
        self._viral_count = settings.viral_count
        self._deadline = settings.forecast_deadline

    def calls(self, loaded: Loaded, asked: Sequence[Asked]) -> Iterator[Call]:
        """The calls that answer all the snapshots, each of them once.

        One past the last horizon, of a cascade that woke late, has a horizon of its own, its age
        and the last horizon together, hence a call of its own.
        """
        last = self._horizons[-1]
        positions = [at for at, one in enumerate(asked) if one.snapshot.age < last]
        for call in loaded.cost.cut([asked[at].events for at in positions], self._deadline):
            chosen = [(positions[at], asked[positions[at]]) for at in call]
            yield Call(chosen, self._horizons, True)
        for at, one in enumerate(asked):
            if one.snapshot.age >= last:
                yield Call([(at, one)], np.array([one.snapshot.age + last]), False)

    def answer(
        self, loaded: Loaded, call: Call, degraded: bool = False
    ) -> list[PopularityForecast]:
        """The forecasts of a call's snapshots, in its order; the model's cost learns from it."""
        model = loaded.model
        snapshots = [asked.snapshot for _, asked in call.asked]
        began = time.perf_counter()
        increments = model.forecast(snapshots, call.horizons)
        if call.is_usual:  # another number of horizons is other work
            loaded.cost.learn(len(snapshots), call.events, time.perf_counter() - began)
        own, sizes = increments, None
        if call.is_usual:
            ages = np.array([snapshot.age for snapshot in snapshots])
            increments, sizes = self._corrections.apply(model.name, model.version, ages, increments)
        observed = np.array([snapshot.observed_count for snapshot in snapshots], np.float64)
        columns = observed[:, None]
        expected = (columns + increments.expected).tolist()
        geometric = (columns + np.exp2(increments.log_mean) - 1).tolist()
        quantiles = (columns[:, :, None] + np.exp2(increments.quantiles) - 1).tolist()
        corrections = _corrections(own, columns, sizes)
        viral = increments.probability_of(self._viral_count - observed).tolist()
        produced_at = time.time()
        return [
            PopularityForecast(
                forecast_id=f"{snapshot.snapshot_id}/{model.name}-{model.version}",
                cascade_id=snapshot.cascade_id,
                published_at=snapshot.published_at,
                observed_at=snapshot.observed_at,
                age=snapshot.age,
                observed_count=snapshot.observed_count,
                horizons=[
                    HorizonForecast(
                        horizon=horizon,
                        expected=expected[row][at],
                        quantiles=Quantiles(*quantiles[row][at]),
                        geometric_mean=geometric[row][at],
                        correction=corrections[row][at],
                    )
                    for at, horizon in enumerate(call.horizons.tolist())
                    if horizon > snapshot.age
                ],
                viral_probability=viral[row],
                viral_count=self._viral_count,
                model=model.name,
                model_version=model.version,
                degraded=degraded,
                produced_at=produced_at,
            )
            for row, snapshot in enumerate(snapshots)
        ]


def _corrections(
    own: Increments, observed: NDArray[np.float64], sizes: NDArray[np.int64] | None
) -> list[list[Correction | None]]:
    """What ends and point of each answer were before; None where they stand.

    Args:
        own: as the model answers.
        observed: counts, shape (snapshots, 1).
        sizes: of the records that corrected them; None: nothing did.
    """
    if sizes is None:
        return [[None] * row.size for row in own.log_mean]
    low, high, point = (
        (observed + np.exp2(of) - 1).tolist()
        for of in (own.quantiles[:, :, 0], own.quantiles[:, :, -1], own.log_mean)
    )
    return [
        list(map(Correction, *row)) for row in zip(low, high, sizes.tolist(), point, strict=True)
    ]


def output(topic: Topic, asked: Asked, forecast: PopularityForecast) -> tuple[int, Output]:
    """A forecast as a message of `topic`, beside the partition of the message it answers."""
    message = asked.message
    return message.partition, Output(
        topic.name,
        forecast.cascade_id.encode(),
        topic.codec.encode(forecast),
        round(forecast.produced_at * 1000),
        (
            ("event_timestamp", str(message.timestamp).encode()),
            (TRACEPARENT, asked.traceparent),
        ),
    )
