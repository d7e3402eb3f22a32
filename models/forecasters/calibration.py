"""What a model's answers are corrected by, as the validation part shows.

The validation part is later than what a model learnt from, so its bias there tells of drift: in
age, span and count, since young cascades, long spans and small cascades do not drift alike. Three
quarters of it are corrected: a drift may end, and the validation part is a sample too. Then the
quantiles are stretched about the median until they hold what they promise (split conformal
prediction). Of several sources some need wider intervals than others, and a model is not told which
of them it serves: it takes the middle between what holds on average and what holds in each of them.
Observations of few events have a bias of their own, which would be taken for that of the others:
none is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.observations import FEW_EVENTS, Observations, observe
from models.cascades.recordings import Source
from models.forecasters.quantiles import MEDIAN, stretch
from models.interface import LEVELS, Forecaster

SHARE = 0.75
# Seconds. Drift is wider for the young than for the old, so their intervals are stretched apart.
YOUNG = 3_600.0
OLD = 43_200.0
# Counts beyond these are corrected like these: of fewer events nothing is learnt, of more little.
_COUNTS = (FEW_EVENTS, 1_024)
# Pseudo-observations at no slope that hold the correction's slopes, in effective cascades.
_HELD = 30.0
_CENTRE = np.array([0.0, 12.0, 16.0, 6.0])
_SCALE = np.array([1.0, 4.0, 4.0, 2.0])
_FACTORS = np.arange(0.4, 4.001, 0.02)


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A correction of log2(1 + increment).

    Attributes:
        shift: coefficients of 1, log2(1 + age), log2(1 + span) and log2(count), centred and scaled.
            A version made before the count was a term has the first three.
        young: stretches of each level's distance to the median, at ages up to `YOUNG`.
        old: the same at ages from `OLD`; between them they go over in the logarithm of the age.
    """

    shift: Annotated[tuple[float, ...], msgspec.Meta(min_length=3, max_length=4)] = (0.0,) * 4
    young: tuple[float, ...] = (1.0,) * len(LEVELS)
    old: tuple[float, ...] = (1.0,) * len(LEVELS)

    def apply(
        self,
        mean: NDArray[np.float64],
        quantiles: NDArray[np.float64],
        batch: Batch,
        horizons: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and quantiles corrected.

        Args:
            mean: shape (n, horizons).
            quantiles: shape (n, horizons, levels).
            batch: the snapshots that were asked about, n of them.
            horizons: seconds, shape (n, horizons).
        """
        # No matrix product: its last bit would depend on what else is asked.
        shift = (_terms(batch, horizons)[..., : len(self.shift)] * self.shift).sum(axis=-1)
        aged = np.interp(np.log(np.maximum(batch.ages, 1.0)), np.log([YOUNG, OLD]), [0.0, 1.0])
        young, old = np.array(self.young), np.array(self.old)
        stretches = young + aged[:, None, None] * (old - young)
        return mean + shift, stretch(quantiles, stretches) + shift[..., None]


def _terms(batch: Batch, horizons: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a shift is made of, shape (n, horizons, 4)."""
    age = np.maximum(batch.ages, 0.0)[:, None]
    span = np.maximum(horizons - age, 0.0)
    count = np.clip(batch.counts, *_COUNTS)[:, None]
    terms = np.broadcast_arrays(1.0, np.log2(1 + age), np.log2(1 + span), np.log2(count))
    scaled: NDArray[np.float64] = (np.stack(terms, axis=-1) - _CENTRE) / _SCALE
    return scaled


def held_out(sources: Sequence[Source], ages: int = 8) -> list[Observations]:
    """Observations of each validation part, the same whoever asks, weighted by the shares.

    Those of fewer than `FEW_EVENTS` events weigh nothing, if any has as many.
    """
    rng = np.random.default_rng(0)
    held = [
        seen._replace(weights=seen.weights * source.share)
        for source in sources
        for seen in observe(
            source.validation, source.end, rng, ages, horizons=4, chunk_size=sys.maxsize
        )
    ]
    enough = [seen.batch.counts >= FEW_EVENTS for seen in held]
    if not any(some.any() for some in enough):
        return held
    return [
        seen._replace(weights=np.where(some, seen.weights, 0.0))
        for seen, some in zip(held, enough, strict=True)
    ]


def calibrate(
    model: Forecaster, observations: Sequence[Observations], shifts: bool = True
) -> Calibration:
    """The correction that a model's answers on the validation part ask for.

    Args:
        model: before any correction of its own.
        observations: of each validation part.
        shifts: whether to correct the bias too, not the spread alone.
    """
    answers = [model.forecast_batch(seen.batch, seen.horizons) for seen in observations]
    mean = np.concatenate([answer.log_mean for answer in answers])
    ages = np.concatenate([seen.batch.ages for seen in observations])
    targets = np.log2(1 + np.concatenate([seen.increments for seen in observations]))
    weights = np.concatenate([seen.weights for seen in observations])
    weight = np.broadcast_to(weights[:, None] / targets.shape[1], targets.shape).ravel()
    terms = np.concatenate([_terms(seen.batch, seen.horizons) for seen in observations])
    terms = terms.reshape(-1, len(_CENTRE))
    normal = (terms * weight[:, None]).T @ terms + np.diag([0.0, _HELD, _HELD, _HELD])
    shift = SHARE * np.linalg.solve(normal, (terms * weight[:, None]).T @ (targets - mean).ravel())
    corrected = Calibration(shift=tuple(shift.tolist())) if shifts else Calibration()
    moved = np.concatenate(
        [
            corrected.apply(answer.log_mean, answer.quantiles, seen.batch, seen.horizons)[1]
            for answer, seen in zip(answers, observations, strict=True)
        ]
    )
    part = np.repeat(np.arange(len(observations)), [len(seen.weights) for seen in observations])
    middle = np.sqrt(YOUNG * OLD)
    found = []
    for aged in (ages < middle, ages >= middle):
        counted = aged & (weights > 0)
        chosen = [counted & (part == number) for number in np.unique(part[counted])]
        each = [
            conformal_stretches(
                moved[rows].reshape(-1, len(LEVELS)),
                targets[rows].ravel(),
                np.repeat(weights[rows], targets.shape[1]),
            )
            for rows in (counted, *chosen)
            if rows.any()
        ]
        stretches = (each[0] + np.max(each[1:], axis=0)) / 2 if each else np.ones(len(LEVELS))
        found.append(tuple(stretches.tolist()))
    return msgspec.structs.replace(corrected, young=found[0], old=found[1])


def conformal_stretches(
    raw: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each level, the least factor of its distance to the median with which it holds.

    An upper quantile holds if at least its level of the weight lies at or below it, a lower one
    if at least one minus its level lies at or above it.

    Args:
        raw: quantiles as predicted, shape (rows, levels).
        targets: shape (rows,).
        weights: shape (rows,).

    Returns:
        shape (levels,), between 0.4 and 4; 1 for the median.
    """
    stretches = np.ones(len(LEVELS))
    median = raw[:, MEDIAN]
    for index, level in enumerate(LEVELS):
        if index == MEDIAN:
            continue
        needed = level if index > MEDIAN else 1 - level
        for factor in _FACTORS:
            bound = np.maximum(median + factor * (raw[:, index] - median), 0.0)
            holds = targets <= bound if index > MEDIAN else targets >= bound
            if np.average(holds, weights=weights) >= needed:
                break
        stretches[index] = factor
    return stretches
