"""The forecaster: snapshots of cascades in, forecasts of their popularity out.

Each snapshot is answered at every horizon that lies beyond its age; one past the last horizon, of
a cascade that woke late, at its age and the last horizon together. The id of a forecast is a
function of the snapshot and of the model's version, so a repeat after a crash is recognised. A
forecast carries the header `event_timestamp`, the Kafka timestamp (milliseconds) of the event that
caused its snapshot; the message's own timestamp is when it was published, and the difference of
the two is how long the way was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Histogram

from models import registry
from models.interface import Forecaster, Increments
from stream import agents, telemetry
from stream.agents import Received
from stream.consumer import Output, dead_letter
from stream.settings import Settings, load
from topics.catalogue import CASCADE_SNAPSHOTS, POPULARITY_FORECASTS
from topics.codecs import DecodeError
from topics.records import (
    BIN_EDGES,
    CascadeSnapshot,
    HorizonForecast,
    PopularityForecast,
    Quantiles,
)

ROLE = "forecaster"
_FIRST_EVENT = CascadeSnapshot(
    snapshot_id="warm-up@n1", cascade_id="warm-up", trigger="n1", published_at=0.0, age=0.0,
    observed_count=1, rooted=True, delay=b"\0" * 4, parent=b"\xff" * 4, depth=b"\0" * 4,
    user=b"\0" * 4,
)  # fmt: skip
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """What the forecaster exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str) -> Counter:
            return Counter(f"tidecast_forecaster_{name}_total", what, registry=registry)

        def histogram(name: str, what: str) -> Histogram:
            return Histogram(
                f"tidecast_forecaster_{name}_seconds", what, registry=registry, buckets=_SECONDS
            )

        self.snapshots = counter("snapshots", "Snapshots read")
        self.forecasts = counter("forecasts", "Forecasts made")
        self.past_horizon = counter("past_horizon", "Snapshots past the last horizon")
        self.dead_letters = counter("dead_letters", "Snapshots that could not be used")
        self.compute = histogram("compute", "Time to answer a batch")
        self.queue = histogram("queue", "From the event's Kafka timestamp to the batch's start")


class ForecastBatch:
    """Turns a batch of messages into forecasts and dead letters.

    Args:
        model: answers for the batch in one call.
        settings: horizons and the viral count.
        registry: where the metrics go.
    """

    def __init__(self, model: Forecaster, settings: Settings, registry: CollectorRegistry) -> None:
        self._model = model
        self._horizons: NDArray[np.float64] = np.array(settings.horizons, np.float64)
        self._viral_count = settings.viral_count
        self._metrics = Metrics(registry)

    def __call__(self, messages: Sequence[Received]) -> list[tuple[int, Output]]:
        """The outputs of the messages, each beside the partition of the message it answers."""
        metrics, now = self._metrics, time.time()
        metrics.snapshots.inc(len(messages))
        for message in messages:
            metrics.queue.observe(max(0.0, now - message.timestamp / 1000))
        with metrics.compute.time():
            usable, outputs = self._decode(messages)
            metrics.dead_letters.inc(len(outputs))
            for pairs, horizons in self._by_horizons(usable):
                forecasts = self._forecast([snapshot for _, snapshot in pairs], horizons)
                for (message, _), forecast in zip(pairs, forecasts, strict=True):
                    outputs.append((message.partition, _output(message, forecast)))
                metrics.forecasts.inc(len(forecasts))
        return outputs

    def _decode(
        self, messages: Sequence[Received]
    ) -> tuple[list[tuple[Received, CascadeSnapshot]], list[tuple[int, Output]]]:
        """The usable snapshots beside their messages, and dead letters for the others."""
        snapshots, undecodable = CASCADE_SNAPSHOTS.codec.decode_batch([m.value for m in messages])
        reasons = {bad.position: str(bad.error) for bad in undecodable}
        decoded = iter(snapshots)
        usable, dead = [], []
        for position, message in enumerate(messages):
            reason = reasons.get(position)
            if reason is None:
                snapshot = next(decoded)
                reason = inconsistency(snapshot)
                if reason is None:
                    usable.append((message, snapshot))
                    continue
            dead.append(
                (message.partition, dead_letter(message, ROLE, DecodeError.__name__, reason))
            )
        return usable, dead

    def _by_horizons(
        self, usable: Sequence[tuple[Received, CascadeSnapshot]]
    ) -> Iterator[tuple[Sequence[tuple[Received, CascadeSnapshot]], NDArray[np.float64]]]:
        """Snapshots that can be answered in one call, with their horizons."""
        last = self._horizons[-1]
        ahead = [pair for pair in usable if pair[1].age < last]
        if ahead:
            yield ahead, self._horizons
        for pair in usable:
            if pair[1].age >= last:
                self._metrics.past_horizon.inc()
                yield [pair], np.array([pair[1].age + last])

    def _forecast(
        self, snapshots: Sequence[CascadeSnapshot], horizons: NDArray[np.float64]
    ) -> list[PopularityForecast]:
        model = self._model
        increments: Increments = model.forecast(snapshots, horizons)
        observed = np.array([snapshot.observed_count for snapshot in snapshots], np.float64)
        expected = observed[:, None] + increments.expected
        quantiles = observed[:, None, None] + np.exp2(increments.quantiles) - 1
        viral = increments.probability_of(self._viral_count - observed)
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
                    HorizonForecast(float(horizon), mean, Quantiles(*levels))
                    for horizon, mean, levels in zip(horizons, means, spreads, strict=True)
                    if horizon > snapshot.age
                ],
                viral_probability=probability,
                viral_count=self._viral_count,
                model=model.name,
                model_version=model.version,
                degraded=False,
                produced_at=produced_at,
            )
            for snapshot, means, spreads, probability in zip(
                snapshots, expected.tolist(), quantiles.tolist(), viral.tolist(), strict=True
            )
        ]


def inconsistency(snapshot: CascadeSnapshot) -> str | None:
    """What in the snapshot contradicts itself and would mislead or stop a model, if anything."""
    lengths = {name: len(getattr(snapshot, name)) for name in ("delay", "parent", "depth", "user")}
    if len(set(lengths.values())) > 1 or lengths["delay"] % 4:
        return f"packed arrays: got {lengths} bytes; expected equal lengths, 4 bytes an event"
    if snapshot.observed_count < lengths["delay"] // 4:
        return (
            f"observed_count: got {snapshot.observed_count}; "
            f"expected at least the {lengths['delay'] // 4} events that are described"
        )
    if len(snapshot.rest) not in (0, 4 * (len(BIN_EDGES) + 1)):
        return (
            f"rest: got {len(snapshot.rest)} bytes; "
            f"expected none or {4 * (len(BIN_EDGES) + 1)}, one count for each bin"
        )
    return None


def _output(message: Received, forecast: PopularityForecast) -> Output:
    return Output(
        POPULARITY_FORECASTS.name,
        forecast.cascade_id.encode(),
        POPULARITY_FORECASTS.codec.encode(forecast),
        round(forecast.produced_at * 1000),
        (("event_timestamp", str(message.timestamp).encode()),),
    )


def warm_up(model: Forecaster, horizons: Sequence[float]) -> None:
    """Has the model answer once: what it compiles or loads then would delay its first forecast."""
    nothing = np.zeros(1, "<f4").tobytes()
    post = CascadeSnapshot(
        "warm-up@n1", "warm-up", "n1", published_at=0.0, age=0.0, observed_count=1, rooted=True,
        delay=nothing, parent=np.full(1, -1, "<i4").tobytes(), depth=nothing, user=nothing,
    )  # fmt: skip
    model.forecast([post], np.array(horizons, np.float64))


def main(settings: Settings) -> None:
    """Runs the forecaster until it is told to stop."""
    telemetry.setup_logging(settings)
    metrics = CollectorRegistry()
    model = registry.load(settings.forecaster, root=settings.registry or None)
    warm_up(model, settings.horizons)
    # The first call compiles kernels, which takes seconds: before the group counts on this worker.
    model.forecast([_FIRST_EVENT], np.array(settings.horizons))
    compute = ForecastBatch(model, settings, metrics)
    telemetry.serve(metrics, settings)
    application = agents.Application(ROLE, settings, metrics)
    application.consume(
        CASCADE_SNAPSHOTS, compute, size=settings.forecast_batch, wait=settings.forecast_wait
    )
    agents.run(application)


if __name__ == "__main__":
    main(load())
