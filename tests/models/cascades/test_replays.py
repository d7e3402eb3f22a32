"""Observations drawn from replays: only what the recording can answer, counted right, weighted."""

from dataclasses import replace

import numpy as np
import pytest

from models.cascades.clock import clock_of
from models.cascades.observations import AGES, FEW_EVENTS, FEW_WEIGHT, LATEST_GROWTH, end_of
from models.cascades.recordings import Source
from models.cascades.replays import Drawn, Replays
from models.data.datasets import Cascade, count_at, increment
from tests.models.recorded import made


def source_of(cascades: list[Cascade], end: float | None = None, share: float = 1.0) -> Source:
    return Source("made", cascades, [], end_of(cascades) if end is None else end, share)


def replays_of(cascades: list[Cascade], end: float | None = None, recency: float = 0.0) -> Replays:
    return Replays([(source_of(cascades, end), cascades)], recency)


def draw(replays: Replays, ages: int = 6, horizons: int = 3, parts: int = 1) -> Drawn:
    chosen = np.arange(len(replays))
    return replays.draw(np.random.default_rng(1), chosen, ages, horizons, parts)


def test_only_what_the_recording_can_answer_is_asked_and_counted_right() -> None:
    cascades = made(50)
    end = cascades[25].published_at + 40_000
    replays = replays_of(cascades, end)
    drawn = draw(replays)
    assert len(drawn.rows) > 100
    for row, age, count, horizons, increments in zip(*drawn[:5], strict=True):
        cascade = replays.cascades[row]
        assert 0 < age <= LATEST_GROWTH
        assert (horizons > age).all()
        assert (cascade.published_at + horizons <= end + 1e-6).all()
        assert count == count_at(cascade, age)
        assert increments.tolist() == [increment(cascade, age, h) for h in horizons]


def test_some_ages_are_moments_of_growth_and_the_others_are_drawn() -> None:
    [cascade] = [c for c in made(40) if 41 <= len(c) <= 79][:1]
    drawn = draw(replays_of([cascade], 2e9), ages=12)
    growth = cascade.delays[[9, 19, 39]]
    assert np.isin(drawn.ages, growth).sum() == 3
    others = drawn.ages[~np.isin(drawn.ages, growth)]
    assert ((others >= AGES[0]) & (others <= AGES[1])).all()


def test_a_trend_sums_to_the_increment_over_parts_that_are_equal_by_the_clock() -> None:
    replays = replays_of(made(40), 2e9)
    drawn = draw(replays, parts=4)
    assert drawn.trend.shape == (*drawn.horizons.shape, 4)
    assert (drawn.trend >= 0).all()
    np.testing.assert_array_equal(drawn.trend.sum(-1), drawn.increments)
    off = 0
    for row, age, horizons, trend in zip(
        drawn.rows, drawn.ages, drawn.horizons, drawn.trend, strict=True
    ):
        events = clock_of(replays.cascades[row].delays).astype(float)
        since = float(clock_of(np.array([age]))[0])
        for until, got in zip(clock_of(horizons).astype(float), trend, strict=True):
            bounds = np.linspace(since, until, 5)
            expected = np.diff(np.searchsorted(events, bounds, side="right"))
            off += int(np.abs(got - expected).sum())
    # The clock is kept in single precision: an event at a bound may fall to either side.
    assert off <= drawn.increments.sum() * 1e-3


def test_one_part_is_the_increment() -> None:
    drawn = draw(replays_of(made(20), 2e9))
    np.testing.assert_array_equal(drawn.trend[..., 0], drawn.increments)


def test_the_weight_of_a_cascade_does_not_grow_with_its_observations() -> None:
    replays = replays_of(made(60), 2e9, recency=1.0)
    drawn = draw(replays, ages=7)
    sums = np.bincount(drawn.rows, drawn.weights, minlength=60)
    assert (sums <= replays.weights + 1e-9).all()
    few = drawn.counts < FEW_EVENTS
    expected = replays.weights[drawn.rows] / 7
    np.testing.assert_allclose(drawn.weights[~few], expected[~few])
    np.testing.assert_allclose(drawn.weights[few], FEW_WEIGHT * expected[few])


def test_later_cascades_weigh_more_by_rank_and_sources_by_share() -> None:
    cascades = [replace(c, published_at=1.4e9 + 10.0**n) for n, c in enumerate(made(5))]
    replays = replays_of(cascades[::-1], 2e9, recency=2.0)
    assert [c.published_at for c in replays.cascades] == [c.published_at for c in cascades]
    assert np.diff(np.log(replays.weights)) == pytest.approx(2 / 5)
    assert replays.weights.mean() == pytest.approx(1)
    parts = [(source_of(made(30), 2e9), made(30)), (source_of(made(10), 2e9, 0.25), made(10))]
    pooled = Replays(parts, recency=1.0)
    assert pooled.weights[:30].sum() == pytest.approx(0.8 * 40)
    assert len(pooled) == 40


def test_blocks_hold_every_cascade_once_in_an_order_of_the_seed() -> None:
    replays = replays_of(made(23))
    blocks = list(replays.blocks(np.random.default_rng(3), 5))
    assert [len(block) for block in blocks] == [5, 5, 5, 5, 3]
    assert sorted(np.concatenate(blocks).tolist()) == list(range(23))
    again = np.concatenate(list(replays.blocks(np.random.default_rng(3), 5)))
    other = np.concatenate(list(replays.blocks(np.random.default_rng(4), 5)))
    assert again.tolist() == np.concatenate(blocks).tolist() != other.tolist()


def test_the_same_seed_draws_the_same() -> None:
    replays = replays_of(made(10))
    for one, other in zip(draw(replays, parts=3), draw(replays, parts=3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_cascade_at_the_end_of_the_recording_is_not_observed() -> None:
    cascades = made(3)
    drawn = draw(replays_of(cascades, cascades[-1].published_at + 250))
    assert set(drawn.rows.tolist()) == {0, 1}
    none = draw(replays_of(cascades[-1:], cascades[-1].published_at + 250))
    assert len(none.rows) == len(none.weights) == 0
    assert none.trend.shape == (0, 3, 1)
