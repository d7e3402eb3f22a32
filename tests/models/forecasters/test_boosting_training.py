"""Observations, training rows, stretches and the mean of a forecast, and a training end to end."""

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad

from models.cascades.observations import end_of, observe
from models.cascades.recordings import Source
from models.data.datasets import increment, snapshot_at
from models.forecasters import boosting_training as training
from models.forecasters.boosting import Boosting
from models.forecasters.quantiles import expected_increment
from models.interface import LEVELS
from models.judging import evaluation, metrics
from tests.models.recorded import made


def test_observations_ask_only_what_the_recording_can_answer() -> None:
    cascades = made(50)
    end = cascades[25].published_at + 40_000
    by_time = {cascade.published_at: cascade for cascade in cascades}
    seen = 0
    for chunk in observe(cascades, end, np.random.default_rng(1), ages=5, horizons=3):
        for row, published in enumerate(chunk.batch.published_at):
            age, horizons = chunk.batch.ages[row], chunk.horizons[row]
            assert (horizons > age).all()
            assert (published + horizons <= end + 1e-6).all()
            cascade = by_time[published]
            expected = [increment(cascade, age, horizon) for horizon in horizons]
            assert chunk.increments[row].tolist() == expected
            seen += 1
    assert seen > 100


def test_growth_is_observed_at_the_very_event() -> None:
    [cascade] = [c for c in made(40) if 41 <= len(c) <= 79][:1]
    chunk = next(observe([cascade], 2e9, np.random.default_rng(0), ages=1, horizons=1))
    assert {10, 20, 40} <= set(chunk.batch.counts.tolist())


def test_the_weight_of_a_cascade_does_not_grow_with_its_observations() -> None:
    cascades = [c for c in made(60) if len(c) > 20]
    for chunk in observe(cascades, 2e9, np.random.default_rng(0), ages=7):
        for published in set(chunk.batch.published_at):
            assert chunk.weights[chunk.batch.published_at == published].sum() <= 1 + 1e-9


def test_later_cascades_weigh_more_by_the_recency() -> None:
    seen = list(observe(made(60), 2e9, np.random.default_rng(0), ages=3))
    plain, recent = training.rows_of(seen), training.rows_of(seen, recency=2.0)
    ratio = recent.weights / plain.weights
    assert ratio[-1] / ratio[0] == pytest.approx(np.exp(2.0))


def test_the_weight_goes_by_rank_and_not_by_time() -> None:
    cascades = [replace(c, published_at=1.4e9 + 10.0**n) for n, c in enumerate(made(5))]
    seen = list(observe(cascades, 2e9, np.random.default_rng(0), ages=1, horizons=1))
    plain, recent = training.rows_of(seen), training.rows_of(seen, recency=2.0)
    ratios = np.unique(np.round(np.log(recent.weights / plain.weights), 6))
    assert np.diff(ratios) == pytest.approx(0.5)
    assert recent.weights.sum() == pytest.approx(1)


def test_pooled_sources_have_their_shares() -> None:
    rows = training.rows_of(observe(made(20), 2e9, np.random.default_rng(0)))
    pooled = training.pool([rows, rows], [1.0, 0.25])
    assert pooled.weights[: len(rows.weights)].sum() == pytest.approx(0.8)
    assert pooled.weights.sum() == pytest.approx(1)


@given(
    st.lists(st.floats(0, 15), min_size=5, max_size=5).map(sorted),
)
def test_the_expected_increment_is_the_mean_of_what_the_quantiles_draw(
    quantiles: list[float],
) -> None:
    step = LEVELS[1] - LEVELS[0]
    low = max(quantiles[0] - (quantiles[1] - quantiles[0]) * LEVELS[0] / step, 0)
    high = quantiles[-1] + (quantiles[-1] - quantiles[-2]) * LEVELS[0] / step
    levels, points = [0.0, *LEVELS, 1.0], [low, *quantiles, high]
    mean = sum(
        quad(lambda u: 2 ** np.interp(u, levels, points), a, b)[0]
        for a, b in itertools.pairwise(levels)
    )
    got = expected_increment(np.array(quantiles))
    assert got == pytest.approx(mean - 1, rel=1e-6, abs=1e-6)


@pytest.fixture(scope="module")
def source() -> Source:
    cascades = made(300)
    return Source("made", cascades[:220], cascades[220:], end_of(cascades))


def trained(source: Source) -> Boosting:
    options: dict[str, Any] = {"ages": 6, "horizons": 2, "rounds": 60, "leaves": 8}
    return training.train([source], seed=5, learning_rate=0.08, **options).model


def test_training_learns_and_its_intervals_hold(source: Source) -> None:
    model = trained(source)
    fresh = made(300, seed=1)
    window = evaluation.WINDOWS[1]
    chosen = evaluation.eligible(fresh, window, 2e9)
    assert len(chosen) > 50
    found = evaluation.evaluate(model, chosen, window)
    realised = evaluation.labels(chosen, window)
    constant = np.exp2(np.log2(1 + realised).mean()) - 1
    assert found["msle"] < 0.6 * metrics.msle(np.full(len(realised), constant), realised)
    assert 0.8 <= found["coverage_90"] <= 1


def test_the_rehearsal_has_other_trees_and_the_same_calibration(source: Source) -> None:
    trained_ = training.train([source], seed=5, ages=4, horizons=1, rounds=20, leaves=8)
    assert trained_.rehearsal.calibration == trained_.model.calibration
    assert not np.array_equal(trained_.rehearsal.trees.leaves, trained_.model.trees.leaves)


def test_a_report_tells_each_tree_and_its_loss(source: Source) -> None:
    told: list[tuple[str, int, int, float | None]] = []

    def report(stage: str, done: int, total: int, loss: float | None = None) -> None:
        told.append((stage, done, total, loss))

    training.train([source], seed=0, report=report, ages=2, horizons=1, rounds=4, leaves=4)
    assert [stage for stage, done, _, _ in told if done == 1] == [
        "observing", *training.OBJECTIVES, *(f"{name} again" for name in training.OBJECTIVES),
    ]  # fmt: skip
    losses = [loss for stage, *_, loss in told if stage == "mean"]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)


def test_the_same_seed_gives_the_same_files(source: Source, tmp_path: Path) -> None:
    digests = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        trained(source).save(folder)
        digests.append(
            {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
        )
    assert digests[0] == digests[1]


def test_a_saved_model_answers_as_before(source: Source, tmp_path: Path) -> None:
    model = trained(source)
    model.save(tmp_path)
    snapshots = [snapshot_at(cascade, 3_600.0) for cascade in made(20, seed=2)]
    horizons: NDArray[np.float64] = np.array([7_200.0, 86_400.0])
    again = Boosting.load(tmp_path, "1")
    before, after = (one.forecast(snapshots, horizons) for one in (model, again))
    np.testing.assert_array_equal(after.quantiles, before.quantiles)
    np.testing.assert_array_equal(after.log_mean, before.log_mean)
