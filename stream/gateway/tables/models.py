"""How well each model version does, from the scores of its forecasts."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from stream.gateway.tables.views import ModelRow, Models, Quality
from topics.records import ForecastScore, ModelCalibration, ModelUpdate, PopularityForecast

K = TypeVar("K")
V = TypeVar("V")

_LATEST = 2_000  # scores of a version and horizon that the figures are taken over
_VERSIONS = 64
_HORIZONS = 32
_CALIBRATIONS = 4_096
_UPDATES = 256


@dataclass(slots=True)
class _Scores:
    total: int = 0
    # (log2 error of the increment, inside the interval), newest last.
    latest: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=_LATEST))

    def quality(self, horizon: float) -> Quality:
        errors, inside = np.array(self.latest, dtype=np.float64).T
        return Quality(
            horizon,
            self.total,
            len(errors),
            float(np.mean(errors**2)),
            float(errors.mean()),
            float(inside.mean()),
        )


@dataclass(slots=True)
class _Version:
    forecasts: int = 0
    last_served_wall: float | None = None
    scores: dict[float, _Scores] = field(default_factory=dict)  # by horizon
    shadow: bool = False  # by the latest score


class ModelTable:
    """Takes in forecasts (who answers), scores, calibration and updates."""

    def __init__(self) -> None:
        self._versions: OrderedDict[tuple[str, str], _Version] = OrderedDict()
        self._calibration: OrderedDict[tuple[str, str, float, str], ModelCalibration] = (
            OrderedDict()
        )
        self._updates: OrderedDict[str, ModelUpdate] = OrderedDict()

    def take_forecast(self, forecast: PopularityForecast) -> None:
        """Notes who answered, and when."""
        version = self._version(forecast.model, forecast.model_version)
        version.forecasts += 1
        version.last_served_wall = max(version.last_served_wall or 0.0, forecast.produced_at)

    def take_score(self, score: ForecastScore) -> None:
        """Takes in one forecast held against what happened."""
        version = self._version(score.model, score.model_version)
        version.shadow = score.shadow
        scores = version.scores
        if score.horizon not in scores and len(scores) >= _HORIZONS:
            return
        at = scores.setdefault(score.horizon, _Scores())
        at.total += 1
        at.latest.append((score.increment_log2_error, score.inside_interval))

    def take_calibration(self, found: ModelCalibration) -> None:
        """Takes in a correction; the latest of its key stands."""
        key = (found.model, found.model_version, found.horizon, found.age_bucket)
        _put(self._calibration, key, found, _CALIBRATIONS)

    def take_update(self, update: ModelUpdate) -> None:
        """Takes in which version of a model is asked for."""
        _put(self._updates, update.name, update, _UPDATES)

    def models(self) -> Models:
        """Every version, those that answered last first."""
        rows = [
            ModelRow(
                model, version, about.forecasts, about.last_served_wall, about.shadow,
                [about.scores[h].quality(h) for h in sorted(about.scores)],
            )
            for (model, version), about in self._versions.items()
        ]  # fmt: skip
        rows.sort(key=lambda row: (-(row.last_served_wall or 0.0), row.model, row.model_version))
        scored = any(row.quality for row in rows)
        return Models(
            rows,
            sorted(
                self._calibration.values(),
                key=lambda found: (found.model, found.model_version, found.horizon),
            ),
            list(self._updates.values()),
            "" if scored else (
                "No scores yet: a forecast is scored by the scorer when its horizon has come, and "
                "nothing has been read from forecast.scores."
            ),
        )  # fmt: skip

    def _version(self, model: str, version: str) -> _Version:
        key = model, version
        if key not in self._versions:
            _put(self._versions, key, _Version(), _VERSIONS)
        self._versions.move_to_end(key)
        return self._versions[key]


def _put(table: OrderedDict[K, V], key: K, value: V, limit: int) -> None:
    """Sets the key; beyond `limit` the one that was set longest ago goes."""
    if key not in table and len(table) >= limit:
        table.popitem(last=False)
    table[key] = value
    table.move_to_end(key)
