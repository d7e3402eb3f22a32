"""Training of the served mixture: its members, which of them stay, calibration and fall-back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cascades.familiarity import Familiarity, familiarity_of
from models.cascades.observations import Observations, observe
from models.cascades.recordings import Source
from models.forecasters.calibration import calibrate, held_out
from models.forecasters.served import Fallback, Member, Served
from models.interface import Forecaster
from models.learning.recipes import AnyTimeTraining, Report, Trained, silent

TOLERANCE = 0.005
# Drawn to learn what cascades are like.
_AGES = 6
_HORIZONS = 2


def train(
    sources: Sequence[Source],
    *,
    members: Mapping[str, AnyTimeTraining],
    fallback: AnyTimeTraining | None = None,
    seed: int,
    report: Report = silent,
) -> Trained:
    """Trains the members and mixes those that did best on the validation part together.

    Every non-empty set of members is tried, with equal weights: weights fitted to a validation
    part of some hundred cascades would fit its chance. For the same reason the largest set within
    `TOLERANCE` of the least error is taken: more members are safer. They are tried as they were
    before they learnt from that part.

    Args:
        sources: to learn from.
        members: how each is trained, by name.
        fallback: how that is trained which answers for cascades unlike these.
        seed: of all of them.
        report: is told how each gets on.
    """
    trained = {
        name: one(sources, seed=seed, report=_named(report, name)) for name, one in members.items()
    }
    held = held_out(sources)
    answers = {name: _means(one.rehearsal, held) for name, one in trained.items()}
    targets = np.log2(1 + np.concatenate([seen.increments for seen in held]))
    weights = np.concatenate([seen.weights for seen in held])
    errors = {
        chosen: float(
            np.average((np.mean([answers[name] for name in chosen], axis=0) - targets) ** 2, axis=1)
            @ weights
            / weights.sum()
        )
        for size in range(1, len(trained) + 1)
        for chosen in itertools.combinations(trained, size)
    }
    enough = (1 + TOLERANCE) * min(errors.values())
    best = max(errors, key=lambda chosen: (errors[chosen] <= enough, len(chosen), -errors[chosen]))
    share = 1 / len(best)
    rehearsal = Served([Member(trained[name].rehearsal, share) for name in best])
    rehearsal.calibration = calibrate(rehearsal, held, shifts=False)
    model = Served([Member(trained[name].model, share) for name in best], rehearsal.calibration)
    told = {name: trained[name].found for name in best}
    if fallback is not None:
        made = fallback(sources, seed=seed, report=_named(report, "fall-back"))
        model.fallback = Fallback(made.model, _familiarity(sources, seed))
        told[made.model.name] = made.found
    found: dict[str, Any] = {
        "members": told,
        "validation_error": {" + ".join(names): round(e, 4) for names, e in errors.items()},
        "calibration": msgspec.to_builtins(rehearsal.calibration),
    }
    return Trained(model, found, rehearsal)


def _means(model: Forecaster, held: Sequence[Observations]) -> NDArray[np.float64]:
    """The model's mean answers, shape (observations, horizons)."""
    return np.concatenate([model.forecast_batch(s.batch, s.horizons).log_mean for s in held])


def _familiarity(sources: Sequence[Source], seed: int) -> Familiarity:
    rng = np.random.default_rng((seed, 5))
    return familiarity_of(
        [
            seen
            for source in sources
            for seen in observe(
                [*source.train, *source.validation], source.end, rng, _AGES, _HORIZONS
            )
        ]
    )


def _named(report: Report, name: str) -> Report:
    def named(stage: str, done: int, total: int, loss: float | None = None) -> None:
        report(f"{name}, {stage}", done, total, loss)

    return named
