"""Shadows: versions that are tried on what is served, without being served.

When a batch has been published and committed, each shadow answers its snapshots again, and the
answers go to `shadow.forecasts`. The next batch comes first: before each call of a shadow it is
asked whether what waits would keep the served version longer than a call may; if so the shadows
give way, and what they do not answer is counted. So they hold the served version up by a call of
theirs at most. Nobody repeats what they were at when a worker dies. A shadow that fails is dropped
until the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry

from stream.forecaster.answers import Answers, Call, output
from stream.forecaster.batch import ROLE
from stream.forecaster.corrections import Corrections
from stream.forecaster.snapshots import Asked, decode
from stream.serving.loading import Loaded, load_known
from stream.settings import Settings
from stream.telemetry.families import Families
from stream.workers.agents import Received
from stream.workers.heartbeats import parted
from stream.workers.publishing.output import Output
from topics.catalogue import SHADOW_FORECASTS

log = logging.getLogger(__name__)


class Shadows:
    """The models of the setting `shadows`. None answers before `load`.

    Args:
        served: tells which version answers now, and must not be held up.
        settings: which models, horizons, the deadline of a call.
        registry: where the metrics go.
        corrections: of forecasts; None leaves them as models state them.
    """

    def __init__(
        self,
        served: Callable[[], Loaded],
        settings: Settings,
        registry: CollectorRegistry,
        corrections: Corrections | None = None,
    ) -> None:
        families = Families("forecaster_shadow", registry)
        counter = partial(families.counter, labels=["shadow"])
        self._served = served
        self._settings = settings
        self._answers = Answers(settings, corrections)
        self._live: dict[str, Loaded] = {}  # by what the setting calls them
        self._forecasts = counter("forecasts", "Forecasts made by a shadow")
        self._skipped = counter("skipped", "Snapshots not answered, for the next batch waited")
        self._failures = counter("failures", "Shadows dropped because they failed")

    def load(self) -> None:
        """Loads them and warms them up, in whatever thread has the time."""
        for shadow in self._settings.shadows:
            name, _, version = shadow.partition(":")
            try:
                loaded = load_known(self._settings, name, version or None)
            except Exception as error:  # a version may be broken in ways that only its code knows
                self._drop(shadow, error)
            else:
                self._live[shadow] = loaded
                log.info("%s is tried as a shadow", loaded)

    def __call__(
        self, messages: Sequence[Received], waiting: Callable[[], int]
    ) -> Iterator[list[tuple[int, Output]]]:
        """The shadows' forecasts, call by call, while there is time.

        Args:
            messages: the batch that has been answered.
            waiting: how many messages are there for the next.
        """
        if not self._live:
            return
        asked, _ = decode(parted(messages)[0], ROLE)
        for shadow, loaded in list(self._live.items()):
            if str(loaded) == str(self._served()):
                continue  # its forecasts are out already, under the same ids
            left = len(asked)
            for call in self._answers.calls(loaded, asked):
                if shadow not in self._live or self._is_behind(asked, waiting()):
                    break
                left -= len(call.asked)
                yield self._answer(shadow, loaded, call)
            if shadow in self._live:
                self._skipped.labels(shadow).inc(left)

    def _is_behind(self, asked: Sequence[Asked], waiting: int) -> bool:
        """Whether a whole batch waits, or what, like the last one, takes longer than a call may."""
        if waiting >= self._settings.forecast_batch:
            return True
        events = sum(one.events for one in asked) / max(len(asked), 1)
        cost = self._served().cost
        return cost.predict(waiting, waiting * events) > self._settings.forecast_deadline

    def _answer(self, shadow: str, loaded: Loaded, call: Call) -> list[tuple[int, Output]]:
        try:
            forecasts = self._answers.answer(loaded, call)
        except Exception as error:  # whatever it is, the served version is not to suffer from it
            del self._live[shadow]
            self._drop(shadow, error)
            return []
        self._forecasts.labels(shadow).inc(len(forecasts))
        return [
            output(SHADOW_FORECASTS, one, forecast)
            for (_, one), forecast in zip(call.asked, forecasts, strict=True)
        ]

    def _drop(self, shadow: str, error: Exception) -> None:
        self._failures.labels(shadow).inc()
        log.error("shadow %s is dropped: %s: %s", shadow, type(error).__name__, error)
