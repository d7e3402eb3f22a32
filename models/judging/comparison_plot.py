"""A picture of a comparison: what was predicted and what came, error by age, and some fans.

One row a window sets each model's points against the increments that came. Below is the error of
the models for any time at other observed ages, for the same horizon. The fans at the bottom are
those of one model: the cascade as it was observed, the quantiles at horizons up to the window's,
and the cascade as it went on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from models.cascades.windows import Window, eligible, labels
from models.data.datasets import Cascade, snapshot_at
from models.judging.candidates import Candidate
from models.judging.evaluation import MIN_CASCADES, evaluate, forecast_window

HOUR = 3_600.0
AGES = tuple(hours * HOUR for hours in (1 / 12, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 24, 48, 96, 168))
FANS = 4
_FAN_HORIZONS = 12


def draw(
    path: Path,
    title: str,
    candidates: Sequence[Candidate],
    chosen: dict[Window, list[Cascade]],
    cascades: Sequence[Cascade],
    end: float,
) -> None:
    """Writes the picture as a PNG.

    Args:
        path: of the file.
        title: over the picture.
        candidates: one of each model, and of each window where it is for one alone.
        chosen: eligible cascades of each window.
        cascades: all that are tested on.
        end: unix seconds at which their recording ends.
    """
    windows = [window for window, some in chosen.items() if some]
    names = list(dict.fromkeys(candidate.name for candidate in candidates))
    any_time = [candidate for candidate in candidates if candidate.window is None]
    columns = max(len(names), FANS if any_time else 1)
    rows = len(windows) + (2 if any_time else 0)
    figure = Figure(figsize=(2.6 * columns, 2.7 * rows + 0.4), layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(rows, columns)
    for row, window in enumerate(windows):
        for candidate in candidates:
            if candidate.window in (None, window):
                axes = figure.add_subplot(grid[row, names.index(candidate.name)])
                _scatter(axes, candidate, chosen[window], window)
    if any_time:
        horizons = sorted({window.horizon for window in windows})
        below = grid[len(windows), :].subgridspec(1, len(horizons))
        for column, horizon in enumerate(horizons):
            _by_age(figure.add_subplot(below[column]), any_time, cascades, end, horizon)
        fans = grid[len(windows) + 1, :].subgridspec(1, FANS)
        for column, cascade in enumerate(_spread(chosen[windows[0]], windows[0])):
            _fan(figure.add_subplot(fans[column]), any_time[0], cascade, windows[0])
    figure.savefig(path, format="png", dpi=100)


def _scatter(axes: Any, candidate: Candidate, cascades: list[Cascade], window: Window) -> None:
    realised = np.log2(1 + labels(cascades, window))
    point = forecast_window(candidate.model, cascades, window).log_mean[:, 0]
    top = max(float(realised.max()), float(point.max()), 1.0)
    axes.plot([0, top], [0, top], color="0.6", linewidth=0.8)
    axes.scatter(realised, point, s=6, alpha=0.5, linewidths=0)
    axes.set_title(f"{candidate.name}, {window}", fontsize=8)
    axes.set_xlabel("log2(1 + increment), realised", fontsize=7)
    axes.set_ylabel("predicted", fontsize=7)
    axes.tick_params(labelsize=7)


def _by_age(
    axes: Any,
    candidates: Sequence[Candidate],
    cascades: Sequence[Cascade],
    end: float,
    horizon: float,
) -> None:
    """Each age has the cascades that have enough events by then: ages are not of the same ones."""
    for candidate in candidates:
        ages, errors = [], []
        for age in AGES:
            window = Window(age, horizon)
            some = eligible(cascades, window, end) if age < horizon else []
            if len(some) >= MIN_CASCADES:
                ages.append(age / HOUR)
                errors.append(evaluate(candidate.model, some, window)["msle"])
        axes.plot(ages, errors, marker="o", markersize=3, linewidth=1, label=candidate.name)
    axes.set_xscale("log")
    axes.set_title(f"error at {horizon / HOUR:g} h by observed age", fontsize=8)
    axes.set_xlabel("observed, hours", fontsize=7)
    axes.set_ylabel("MSLE", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7)


def _spread(cascades: list[Cascade], window: Window) -> list[Cascade]:
    """Up to `FANS` cascades, from those that grew little to those that grew most."""
    order = np.argsort(labels(cascades, window), kind="stable")
    places = np.linspace(0.2, 0.95, FANS) * (len(order) - 1)
    return [cascades[order[place]] for place in dict.fromkeys(places.astype(int).tolist())]


def _fan(axes: Any, candidate: Candidate, cascade: Cascade, window: Window) -> None:
    observed, horizon = window
    horizons = np.geomspace(observed, horizon, _FAN_HORIZONS + 1)[1:]
    snapshot = snapshot_at(cascade, observed)
    [quantiles] = candidate.model.forecast([snapshot], horizons).quantiles
    hours = np.concatenate([[observed], horizons]) / HOUR
    counts = snapshot.observed_count + np.vstack(
        [np.zeros(quantiles.shape[1]), np.exp2(quantiles) - 1]
    )
    for low, high, shade in ((0, -1, 0.2), (1, -2, 0.35)):
        axes.fill_between(
            hours, counts[:, low], counts[:, high], color="tab:blue", alpha=shade, linewidth=0
        )
    axes.plot(hours, counts[:, counts.shape[1] // 2], color="tab:blue", linewidth=1)
    before = cascade.delays <= observed
    later = (cascade.delays >= observed) & (cascade.delays <= horizon)
    ranks = np.arange(1, len(cascade) + 1)
    axes.step(cascade.delays[before] / HOUR, ranks[before], where="post", color="black")
    axes.step(
        np.concatenate([[observed], cascade.delays[later], [horizon]]) / HOUR,
        np.concatenate(
            [[before.sum()], ranks[later], [np.searchsorted(cascade.delays, horizon, side="right")]]
        ),
        where="post",
        color="tab:red",
        linewidth=1,
    )
    axes.set_yscale("log", base=2)
    axes.set_xlim(0, horizon / HOUR)
    axes.set_title(f"{candidate.name}: {cascade.cascade_id[:16]}", fontsize=8)
    axes.set_xlabel("hours since publication", fontsize=7)
    axes.set_ylabel("events", fontsize=7)
    axes.tick_params(labelsize=7)
