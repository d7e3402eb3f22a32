"""A batch of snapshots answered: forecasts for those that can be used, dead letters for the others.

    decode -> cut into calls -> the served version answers, call by call -> outputs in order

All calls of a batch are made by one version. When even the newest snapshot of the batch has waited
longer than `degrade_after`, the calls that are left are made by SEISMIC, whose closed form takes
next to no time, and their forecasts say `degraded`. That is looked at call by call and by the
clock alone, so it ends by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from stream.forecaster.answers import Answers, Call, output
from stream.forecaster.corrections import Corrections
from stream.forecaster.snapshots import Asked, decode
from stream.serving.loading import Loaded, load_known
from stream.settings import Settings
from stream.telemetry import spans, traces
from stream.telemetry.families import Families
from stream.telemetry.log_lines import Seldom
from stream.workers.agents import Received, passed_by_partition
from stream.workers.heartbeats import parted
from stream.workers.publishing.output import Output
from topics.catalogue import POPULARITY_FORECASTS
from topics.records import PopularityForecast

log = logging.getLogger(__name__)

ROLE = "forecaster"
FALL_BACK = "seismic"
_SLOW = 5  # times the deadline; a call of one long snapshot, or one that others hold up, is above 1


class Metrics:
    """What batches export."""

    def __init__(self, registry: CollectorRegistry) -> None:
        families = Families("forecaster", registry)
        counter, seconds = families.counter, families.seconds
        self.snapshots = counter("snapshots", "Snapshots read")
        self.events = counter("events", "Events that they describe")
        self.forecasts = counter("forecasts", "Forecasts made")
        self.degraded = counter(
            "degraded", "Forecasts made by SEISMIC, the served model being late"
        )
        self.past_horizon = counter("past_horizon", "Snapshots past the last horizon")
        self.dead_letters = counter("dead_letters", "Snapshots that could not be used")
        self.compute = seconds("compute", "Time to answer a batch")
        self.call = seconds("call", "Time of a call of the served model")
        self.queue = seconds("queue", "From the event's Kafka timestamp to the batch's start")
        self.cost = families.gauge(
            "cost_seconds",
            "What a call of the served model takes by itself, a snapshot and an event of it",
            ["of"],
        )


class ForecastBatch:
    """Turns a batch of messages into forecasts and dead letters.

    Args:
        served: tells which version answers now; it answers all calls of a batch.
        settings: horizons, the viral count, the deadline of a call, when to fall back.
        registry: where the metrics go.
        fall_back: answers when the served version is too late; None: it answers however late.
        corrections: of forecasts; None leaves them as models state them.
    """

    def __init__(
        self,
        served: Callable[[], Loaded],
        settings: Settings,
        registry: CollectorRegistry,
        fall_back: Loaded | None = None,
        corrections: Corrections | None = None,
    ) -> None:
        self._served = served
        self._answers = Answers(settings, corrections)
        self._fall_back = fall_back
        self._degrade_after = settings.degrade_after
        self._deadline = settings.forecast_deadline
        self._slow = Seldom(10.0)
        self._metrics = Metrics(registry)

    def __call__(self, messages: Sequence[Received]) -> list[tuple[int, Output]]:
        """The outputs of the messages, each beside the partition of the message it answers."""
        metrics, now = self._metrics, time.time()
        messages, heartbeats = parted(messages)
        metrics.snapshots.inc(len(messages))
        for message in messages:
            metrics.queue.observe(max(0.0, now - message.timestamp / 1000))
        with metrics.compute.time():
            asked, outputs = decode(messages, ROLE)
            metrics.events.inc(sum(one.events for one in asked))
            metrics.dead_letters.inc(len(outputs))
            newest = max((message.timestamp for message in messages), default=0) / 1000
            forecasts = self._forecast(asked, newest)
            # In the order of the snapshots, so that of a cascade the latest forecast comes last.
            outputs += [
                output(POPULARITY_FORECASTS, asked[at], forecasts[at]) for at in range(len(asked))
            ]
        return outputs + passed_by_partition(heartbeats, POPULARITY_FORECASTS)

    def _forecast(self, asked: Sequence[Asked], newest: float) -> dict[int, PopularityForecast]:
        """The forecast of each snapshot by its position."""
        served, metrics = self._served(), self._metrics
        forecasts: dict[int, PopularityForecast] = {}
        for call in self._answers.calls(served, asked):
            made = self._answer(served, call, newest)
            forecasts.update(zip((at for at, _ in call.asked), made, strict=True))
            metrics.forecasts.inc(len(made))
            if not call.is_usual:
                metrics.past_horizon.inc(len(made))
        for of, seconds in zip(("call", "snapshot", "event"), served.cost.costs, strict=True):
            metrics.cost.labels(of).set(seconds)
        return forecasts

    def _answer(self, served: Loaded, call: Call, newest: float) -> list[PopularityForecast]:
        if self._fall_back is not None and time.time() - newest > self._degrade_after:
            made = self._answers.answer(self._fall_back, call, degraded=True)
            self._metrics.degraded.inc(len(made))
            return made
        began = time.perf_counter()
        with self._metrics.call.time(), spans.stage("call"):
            made = self._answers.answer(served, call)
        self._tell(call, made, time.perf_counter() - began)
        return made

    def _tell(self, call: Call, made: Sequence[PopularityForecast], took: float) -> None:
        """Logs a call that took far too long, and each forecast where that is asked for."""
        if took > _SLOW * self._deadline:
            unsaid = self._slow.due()
            if unsaid is not None:
                first = call.asked[0][1]
                log.warning(
                    "a call of the model took %.2f s, of %d snapshots with %d events; it may take "
                    "%g s (forecast_deadline); %d like it went unsaid",
                    took, len(call.asked), call.events, self._deadline, unsaid,
                    extra={"trace_id": traces.trace_id(first.traceparent)},
                )  # fmt: skip
        if log.isEnabledFor(logging.DEBUG):
            for (_, asked), forecast in zip(call.asked, made, strict=True):
                log.debug(
                    "forecast %s", forecast.forecast_id,
                    extra={"trace_id": traces.trace_id(asked.traceparent)},
                )  # fmt: skip


def fall_back(settings: Settings) -> Loaded | None:
    """SEISMIC, where the settings let it answer; the one that ships if the registry has none.

    None also where SEISMIC itself is served: a degraded forecast would have the id of one that is
    not.

    Raises:
        BrokenModelError: its files are missing, altered or unreadable.
    """
    if settings.degrade_after <= 0 or settings.forecaster == FALL_BACK:
        return None
    return load_known(settings, FALL_BACK)
