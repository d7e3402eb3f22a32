"""Baselines that know only how many events were observed, each fitted for one window.

`mean` forecasts the mean of log2(1 + increment) whatever was observed; `loglinear` is linear in
log2 of the observed count (Szabo and Huberman, CACM 2010). Both are least squares on the training
part; their quantiles are those of its residuals.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.recordings import Source
from models.cascades.windows import Window, eligible, labels
from models.data.datasets import Cascade, count_at
from models.forecasters.quantiles import settle
from models.interface import LEVELS, Forecaster, Increments
from models.learning.recipes import Report, silent
from topics.errors import TidecastError

# A line needs two points, and residuals of fewer than this have no tails.
MIN_EXAMPLES = 10


class TooFewError(TidecastError, ValueError):
    """Too few cascades of the sources can be observed in a window to learn from."""


class WindowForecaster(Forecaster):
    """A forecaster for the one window that it was fitted for."""

    version = "0"

    def __init__(self, window: Window) -> None:
        self.window = window

    @abstractmethod
    def answer(self, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Quantiles of log2(1 + increment), (snapshots, levels), and its mean, (snapshots,)."""

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        """As of any forecaster.

        Raises:
            ValueError: a snapshot of another age or another horizon than those of the window.
        """
        asked = np.unique(horizons).tolist()
        if (batch.ages != self.window.observed).any() or asked not in ([], [self.window.horizon]):
            raise ValueError(
                f"{self.name} was fitted for {self.window} alone; got ages "
                f"{np.unique(batch.ages).tolist()} and horizons {asked} seconds"
            )
        quantiles, log_mean = self.answer(batch)
        return settle(quantiles[:, None], log_mean[:, None], batch.ages, horizons)


class LogPolynomial(WindowForecaster):
    """A polynomial in log2 of the observed count, with one spread for all.

    Attributes:
        coefficients: of log2(1 + increment), the highest power first, shape (degree + 1,).
        residuals: quantiles at `LEVELS` of what the training part had beyond it, shape (levels,).
    """

    def __init__(
        self,
        name: str,
        window: Window,
        coefficients: NDArray[np.float64],
        residuals: NDArray[np.float64],
    ) -> None:
        super().__init__(window)
        self.name = name
        self.coefficients = coefficients
        self.residuals = residuals

    def answer(self, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The mean of a polynomial in the log of the count, and quantiles about it."""
        log_mean = np.polyval(self.coefficients, np.log2(np.maximum(batch.counts, 1))).astype(
            np.float64
        )
        return log_mean[:, None] + self.residuals, log_mean


class Examples(NamedTuple):
    """What can be learnt from in a window.

    Attributes:
        cascades: those that are eligible.
        targets: log2(1 + increment), shape (cascades,).
        weights: shape (cascades,), about 1; a source's sum is in proportion to its share.
    """

    cascades: list[Cascade]
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]


def examples(sources: Sequence[Source], part: str, window: Window) -> Examples:
    """The eligible cascades of a part, `train` or `validation`, of the sources.

    Raises:
        TooFewError: there are fewer than `MIN_EXAMPLES`.
    """
    found: list[Cascade] = []
    shares: list[NDArray[np.float64]] = []
    for source in sources:
        chosen = eligible(getattr(source, part), window, source.end)
        found.extend(chosen)
        shares.append(np.full(len(chosen), source.share / max(len(chosen), 1)))
    if len(found) < MIN_EXAMPLES:
        raise TooFewError(
            f"got {len(found)} cascades of the {part} part with at least 10 events in the window "
            f"{window} and a horizon inside the recording; expected at least {MIN_EXAMPLES}; give "
            "longer recordings, more files, or a window of which they have more"
        )
    weights = np.concatenate(shares)
    targets = np.log2(1 + labels(found, window))
    return Examples(found, targets, weights * len(weights) / weights.sum())


def train_mean(
    sources: Sequence[Source], *, window: Window, seed: int, report: Report = silent
) -> tuple[LogPolynomial, dict[str, Any]]:
    """The recipe of `mean`; nothing is drawn, so the seed is not used."""
    return _fit("mean", sources, window, degree=0)


def train_loglinear(
    sources: Sequence[Source], *, window: Window, seed: int, report: Report = silent
) -> tuple[LogPolynomial, dict[str, Any]]:
    """The recipe of `loglinear`; nothing is drawn, so the seed is not used."""
    return _fit("loglinear", sources, window, degree=1)


def _fit(
    name: str, sources: Sequence[Source], window: Window, degree: int
) -> tuple[LogPolynomial, dict[str, Any]]:
    known = examples(sources, "train", window)
    log_counts = np.log2([count_at(cascade, window.observed) for cascade in known.cascades])
    # polyfit squares its weights with the errors.
    fitted = np.polyfit(log_counts, known.targets, degree, w=np.sqrt(known.weights))
    beyond = known.targets - np.polyval(fitted, log_counts)
    residuals = np.quantile(beyond, LEVELS, method="inverted_cdf", weights=known.weights)
    model = LogPolynomial(name, window, fitted, residuals)
    return model, {"window": list(window), "cascades": len(known.cascades)}
