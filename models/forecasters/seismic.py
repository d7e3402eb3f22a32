"""SEISMIC: the closed-form self-exciting estimate (Zhao et al., KDD 2015), at any horizon.

Every event draws answers at a rate that its age alone decides, times an infectiousness that the
later half of the cascade's life shows (`models.cascades.power_law`). With D the share of their
direct answers that the observed events still get up to the horizon, and p the infectiousness, the
increment is

    decay p D / (1 - min(mean_degree p, limit))

which is equation 7 of the paper with D in place of the infinite horizon's, its corrections (alpha
for the infectiousness that fades, gamma for the degree of who answers) as constants, and a limit
where the paper gives no answer, a supercritical cascade. Audience sizes are not in the events, so
`mean_degree` is the audience of who answers over that of who was observed.

The paper states no distribution. Here log2(1 + increment) is normal about the estimate, cut at 0,
with a deviation that is linear in log2 of the count. All constants are fitted to training
cascades by `tidecast train seismic`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.observations import Observations, observe
from models.cascades.power_law import PAPER_EXPONENT, PAPER_PLATEAU, direct_answers, infectiousness
from models.cascades.recordings import Source
from models.interface import LEVELS, Forecaster, Increments
from models.learning.recipes import Report, Trained, silent

CONSTANTS = "constants.json"
# Standard normal deviates of the levels.
_DEVIATES = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
_NARROWEST = 0.25


class Constants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is fitted; the defaults are the paper's, or no correction.

    Attributes:
        plateau: seconds in which answers come at a constant rate.
        exponent: of the memory's power law, past the plateau.
        prior_weight: pseudo-answers that hold the infectiousness of a few events.
        prior_mean: the infectiousness towards which they hold it.
        decay: of the infectiousness, from the observed part to the answers still to come.
        mean_degree: audience of who answers over that of who was observed.
        limit: highest share of answers that answer an answer, below 1.
        deviation: of log2(1 + increment) about the estimate, at one event.
        deviation_slope: what it gains with each doubling of the count.
        expectation: expected increment over the estimate, which is of the median kind.
    """

    plateau: float = PAPER_PLATEAU
    exponent: float = PAPER_EXPONENT
    prior_weight: float = 1.0
    prior_mean: float = 0.5
    decay: float = 1.0
    mean_degree: float = 1.0
    limit: float = 0.9
    deviation: float = 2.0
    deviation_slope: float = 0.0
    expectation: float = 1.0


@njit(cache=True, nogil=True)
def _memory_of(
    batch: Batch,
    horizons: NDArray[np.float64],
    plateau: float,
    exponent: float,
    prior_weight: float,
    prior_mean: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Infectiousness of each snapshot, and its observed events' share of direct answers to come."""
    size = len(batch.ages)
    answers = np.empty(size)
    direct = np.empty(horizons.shape)
    none = np.empty(0, np.int32)
    for row in range(size):
        delays = batch.delays[batch.offsets[row] : batch.offsets[row + 1]]
        line = batch.rest_rows[row]
        rest = batch.rest[line] if line >= 0 else none
        age = max(batch.ages[row], 0.0)
        answers[row] = infectiousness(
            delays, rest, age, plateau, exponent, prior_weight, prior_mean
        )
        for column in range(horizons.shape[1]):
            direct[row, column] = direct_answers(
                delays, rest, age, horizons[row, column], plateau, exponent
            )
    return answers, direct


def _increment(
    answers: NDArray[np.float64],
    direct: NDArray[np.float64],
    decay: float,
    mean_degree: float,
    limit: float,
) -> NDArray[np.float64]:
    """The closed form; `answers` has shape (snapshots,), `direct` (snapshots, horizons)."""
    multiplier = answers / (1 - np.minimum(mean_degree * answers, limit))
    return np.asarray(decay * multiplier[:, None] * direct)


class Seismic(Forecaster):
    """The closed form as a forecaster; it needs no weights but its constants."""

    name = "seismic"

    def __init__(self, constants: Constants, version: str = "0") -> None:
        self.constants = constants
        self.version = version

    @classmethod
    def load(cls, folder: Path, version: str) -> Seismic:
        """The forecaster in a folder that `save` wrote.

        Raises:
            OSError: the file cannot be read.
            ValueError: it does not hold the constants.
        """
        content = (folder / CONSTANTS).read_bytes()
        return cls(msgspec.json.decode(content, type=Constants), version)

    def save(self, folder: Path) -> None:
        """Writes the constants into a folder that exists."""
        content = msgspec.json.format(msgspec.json.encode(self.constants), indent=2)
        (folder / CONSTANTS).write_bytes(content + b"\n")

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        """Increments by the closed form, each snapshot by itself."""
        c = self.constants
        answers, direct = _memory_of(
            batch, horizons, c.plateau, c.exponent, c.prior_weight, c.prior_mean
        )
        estimate = _increment(answers, direct, c.decay, c.mean_degree, c.limit)
        deviation = _deviation(batch.counts, c.deviation, c.deviation_slope)
        quantiles = np.log2(1 + estimate)[:, :, None] + deviation[:, None, None] * _DEVIATES
        ahead = horizons > batch.ages[:, None]
        return Increments(
            quantiles=np.where(ahead[:, :, None], np.maximum(quantiles, 0), 0.0),
            expected=np.where(ahead, c.expectation * estimate, 0.0),
            log_mean=np.where(ahead, np.log2(1 + estimate), 0.0),
        )


def _deviation(counts: NDArray[np.int64], deviation: float, slope: float) -> NDArray[np.float64]:
    return np.maximum(deviation + slope * np.log2(np.maximum(counts, 1)), _NARROWEST)


# ------------------------------------------------------------------ fitting

PLATEAUS = (60.0, 120.0, 300.0, 600.0, 1200.0)
EXPONENTS = (0.1, 0.242, 0.4, 0.6, 0.8)
MEAN_DEGREES = (0.0, 0.25, 0.5, 0.75, 1.0)
DECAYS = tuple(2.0 ** np.arange(-4, 2.25, 0.25))
LIMITS = (0.5, 0.7, 0.8, 0.9, 0.95)


def train(
    sources: Sequence[Source],
    *,
    seed: int,
    report: Report = silent,
    ages: int = 6,
    horizons: int = 3,
) -> Trained:
    """The recipe: fits the constants to the training parts; the validation parts are not used.

    Args:
        sources: to learn from, each of the same weight.
        seed: of what is drawn.
        report: is told of each point of the grid.
        ages: drawn a cascade, beside those of its growth.
        horizons: drawn an observation.
    """
    rng = np.random.default_rng(seed)
    seen: list[Observations] = []
    for source in sources:
        seen.extend(observe(source.train, source.end, rng, ages, horizons))
    points = itertools.count(1)
    grid = len(PLATEAUS) * len(EXPONENTS)
    constants = fit(seen, lambda: report("fitting", next(points), grid))
    model = Seismic(constants)
    return Trained(model, {"ages": ages, "horizons": horizons}, model)


def fit(
    observations: Sequence[Observations], on_point: Callable[[], None] = lambda: None
) -> Constants:
    """The constants with the least mean squared error of log2(1 + increment), found on a grid.

    The deviation follows the absolute errors, scaled so that the 90 % interval holds 90 % of the
    training increments; `expectation` makes the expected increments sum to those that came.
    `on_point` is called after each of the `len(PLATEAUS) * len(EXPONENTS)` points of the grid.
    """
    realised = np.concatenate([o.increments for o in observations])
    weights = np.concatenate([np.broadcast_to(o.weights[:, None], o.increments.shape)
                              for o in observations])  # fmt: skip
    counts = np.concatenate([o.batch.counts for o in observations])
    target = np.log2(1 + realised)
    start = Constants()
    best, lowest = start, np.inf
    for plateau in PLATEAUS:
        for exponent in EXPONENTS:
            pairs = [
                _memory_of(
                    o.batch, o.horizons, plateau, exponent, start.prior_weight, start.prior_mean
                )
                for o in observations
            ]
            answers = np.concatenate([pair[0] for pair in pairs])
            direct = np.concatenate([pair[1] for pair in pairs])
            for mean_degree in MEAN_DEGREES:
                # Without a second generation there is nothing to limit.
                for limit in LIMITS if mean_degree else LIMITS[:1]:
                    full = _increment(answers, direct, 1.0, mean_degree, limit)
                    for decay in DECAYS:
                        error = (np.log2(1 + decay * full) - target) ** 2
                        mean = float(np.average(error, weights=weights))
                        if mean < lowest:
                            lowest = mean
                            best = msgspec.structs.replace(
                                start,
                                plateau=plateau,
                                exponent=exponent,
                                mean_degree=mean_degree,
                                limit=limit,
                                decay=float(decay),
                            )
            on_point()
    return _with_spread(best, observations, counts, realised, weights)


def _with_spread(
    constants: Constants,
    observations: Sequence[Observations],
    counts: NDArray[np.int64],
    realised: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> Constants:
    model = Seismic(msgspec.structs.replace(constants, expectation=1.0))
    estimate = np.concatenate(
        [model.forecast_batch(o.batch, o.horizons).expected for o in observations]
    )
    residual = np.abs(np.log2(1 + realised) - np.log2(1 + estimate))
    log_count = np.broadcast_to(np.log2(np.maximum(counts, 1))[:, None], residual.shape)
    # Mean absolute deviation of a normal distribution: sqrt(2 / pi) of its standard deviation.
    slope, deviation = np.polyfit(
        log_count.ravel(), residual.ravel() * np.sqrt(np.pi / 2), 1, w=np.sqrt(weights).ravel()
    )
    width = _deviation(counts, deviation, slope)[:, None] * _DEVIATES[-1]
    order = np.argsort((residual / width).ravel())
    share = np.cumsum(weights.ravel()[order]) / weights.sum()
    factor = (residual / width).ravel()[order][np.searchsorted(share, LEVELS[-1] - LEVELS[0])]
    return msgspec.structs.replace(
        constants,
        deviation=float(deviation * factor),
        deviation_slope=float(slope * factor),
        expectation=float(np.sum(weights * realised) / np.sum(weights * estimate)),
    )
