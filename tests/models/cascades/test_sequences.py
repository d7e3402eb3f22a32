"""Jumps, cuts and traces against the obvious reference, and replays against snapshots."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.cascades.batch import gather
from models.cascades.sequences import (
    CONTEXT,
    EXACT,
    FEATURES,
    HORIZON,
    TRACES,
    Cuts,
    Sequences,
    cut,
    horizon_features,
    sequences_of,
)
from models.data.datasets import ROOT, UNKNOWN_PARENT, Cascade, count_at, snapshot_at
from tests.models.strategies import cascades
from topics.records import BIN_EDGES

DAY = 86_400.0
LATEST = 4 * DAY


def log2(value: float) -> float:
    return math.log2(1 + value) / 8


class Jump(NamedTuple):
    time: float
    events: int
    count: int
    user: int
    features: dict[str, float]


def reference(cascade: Cascade, age: float) -> list[Jump]:
    """The jumps that an observer at the age knows of."""
    delays = np.float32(cascade.delays).astype(float)
    jumps: list[Jump] = []
    before = 0.0
    for event in range(min(count_at(cascade, age), EXACT)):
        delay, parent = min(delays[event], age), cascade.parents[event]
        known = parent >= 0
        features = {
            "log_delay": log2(delay),
            "log_gap": log2(delay - before),
            "log_multiplicity": 0.0,
            "summarised": 0.0,
            "log_count": math.log2(event + 1) / 8,
            "log_reaction": log2(delay - delays[parent]) if known else 0.0,
            "log_depth": math.log2(1 + cascade.depths[event]),
            "parent_unknown": float(parent == UNKNOWN_PARENT),
            "log_siblings": log2(sum(cascade.parents[:event] == parent)) if known else 0.0,
            "user_seen": float(cascade.users[event] in cascade.users[:event]),
        }
        jumps.append(Jump(delay, 1, event + 1, int(cascade.user_hashes[event]), features))
        before = delay
    count = len(jumps)
    if count == EXACT:
        for low, high in itertools.pairwise([-math.inf, *BIN_EDGES]):
            events = sum(low < delay <= high for delay in cascade.delays[EXACT:])
            if events and high <= age:
                count += events
                features = dict.fromkeys(FEATURES[:10], 0.0) | {
                    "log_delay": log2(high),
                    "log_gap": log2(high - before),
                    "log_multiplicity": math.log2(events) / 8,
                    "summarised": 1.0,
                    "log_count": math.log2(count) / 8,
                }
                jumps.append(Jump(high, events, count, 0, features))
                before = high
    return jumps


def trace(jumps: list[Jump], scale: float, at: float) -> float:
    """The sum over events; those of a summary lie evenly since the jump before it."""
    total = 0.0
    for before, jump in itertools.pairwise([Jump(0.0, 0, 0, 0, {}), *jumps]):
        if jump.events == 1 and not jump.features["summarised"]:
            total += math.exp(-(at - jump.time) / scale)
        elif jump.time == before.time:
            total += jump.events * math.exp(-(at - jump.time) / scale)
        else:
            inner, outer = (at - jump.time) / scale, (at - before.time) / scale
            share = (math.exp(-inner) - math.exp(-outer)) / (outer - inner)
            total += jump.events * share
    return total


def jumps_of(cascade: Cascade, age: float, max_events: int = 512) -> Sequences:
    return sequences_of(gather([snapshot_at(cascade, age, max_events)]))


def cut_at(sequences: Sequences, cascade: Cascade, ages: NDArray[np.float64], row: int = 0) -> Cuts:
    return cut(
        sequences,
        np.full(len(ages), row),
        ages,
        np.array([count_at(cascade, age) for age in ages], np.int64),
        np.full(len(ages), cascade.published_at),
    )


def distinct(cascade: Cascade, age: float) -> bool:
    """Whether neither rounding to float32 nor an edge decides what is seen at the age."""
    times = np.concatenate([cascade.delays[1:], BIN_EDGES])
    return bool((np.abs(times - age) > 1e-6 * age).all())


def large(events: int, seed: int = 0, span: float = 2e5) -> Cascade:
    """A cascade with a tree, users that come again, and delays over many bins."""
    rng = np.random.default_rng(seed)
    delays = np.append(0.0, np.sort(np.exp(rng.uniform(0, math.log(span), events - 1))))
    parents = np.array([ROOT, *(rng.integers(0, i) for i in range(1, events))], np.int32)
    parents[1:][rng.random(events - 1) < 0.1] = UNKNOWN_PARENT
    users = [f"u{rng.integers(0, events)}" for _ in range(events)]
    return Cascade("large", users[0], 1.4e9 + 7_000, users, parents, delays)


def check(sequences: Sequences, expected: list[Jump]) -> None:
    assert sequences.offsets.tolist() == [0, len(expected)]
    assert sequences.counts.tolist() == [jump.count for jump in expected]
    assert sequences.users.tolist() == [jump.user for jump in expected]
    np.testing.assert_allclose(sequences.times, [jump.time for jump in expected], rtol=1e-6)
    traces = [[trace(expected[: i + 1], scale, jump.time) for scale in TRACES]
              for i, jump in enumerate(expected)]  # fmt: skip
    if expected:
        np.testing.assert_allclose(sequences.traces, traces, rtol=1e-5, atol=1e-9)
    for index, jump in enumerate(expected):
        named = dict(zip(FEATURES, sequences.features[index].tolist(), strict=True))
        wanted = jump.features | {
            f"log_trace_{scale:.0f}s": log2(value)
            for scale, value in zip(TRACES, traces[index], strict=True)
        }
        assert named == pytest.approx(wanted, rel=1e-4, abs=1e-5)


@given(cascades(), st.floats(0, 1e6))
def test_small_cascades_have_a_jump_an_event(cascade: Cascade, age: float) -> None:
    check(jumps_of(cascade, age), reference(cascade, age))


@pytest.mark.parametrize("events", [99, 100, 101, 130, 700, 3_000])
@pytest.mark.parametrize("age", [30.0, 5_000.0, 100_000.0])
def test_what_comes_after_the_first_hundred_is_summed_up(events: int, age: float) -> None:
    cascade = large(events)
    got = jumps_of(cascade, age)
    check(got, reference(cascade, age))
    assert len(got.times) <= EXACT + len(BIN_EDGES)


@pytest.mark.parametrize("max_events", [100, 101, 512, 10_000])
def test_how_many_events_a_snapshot_keeps_beyond_a_hundred_changes_nothing(max_events: int) -> None:
    cascade = large(2_000)
    for kept, whole in zip(
        jumps_of(cascade, 50_000.0, max_events), jumps_of(cascade, 50_000.0, 5_000), strict=True
    ):
        np.testing.assert_array_equal(kept, whole)


@pytest.mark.parametrize("max_events", [1, 5, 30])
def test_a_snapshot_that_keeps_few_events_has_its_rest_summed_up(max_events: int) -> None:
    batch = gather([snapshot_at(large(90, seed), 1.9e5, max_events) for seed in range(20)])
    got = sequences_of(batch)
    for row in range(20):
        own = slice(got.offsets[row], got.offsets[row + 1])
        summaries = got.features[own, FEATURES.index("summarised")]
        assert summaries[:max_events].sum() == 0
        assert summaries[max_events:].all()
        passed = BIN_EDGES[BIN_EDGES <= 1.9e5][-1]
        assert got.counts[own][-1] == count_at(large(90, row), passed)
        assert (np.diff(got.times[own]) >= 0).all()


@given(st.lists(cascades(), max_size=5), st.floats(0, 1e6), st.integers(1, 600))
def test_the_jumps_of_a_cascade_do_not_depend_on_the_batch(
    batch: list[Cascade], age: float, max_events: int
) -> None:
    together = sequences_of(gather([snapshot_at(cascade, age, max_events) for cascade in batch]))
    for row, cascade in enumerate(batch):
        alone = jumps_of(cascade, age, max_events)
        own = slice(together.offsets[row], together.offsets[row + 1])
        for name in ("times", "counts", "features", "users", "traces"):
            np.testing.assert_array_equal(getattr(together, name)[own], getattr(alone, name))


def check_replay(cascade: Cascade, age: float, max_events: int) -> None:
    """A replay of the whole cascade, cut at the age, is what a snapshot at the age has."""
    whole, then = (jumps_of(cascade, at, max_events) for at in (LATEST, age))
    [replayed], [own] = (cut_at(one, cascade, np.array([age])).jump for one in (whole, then))
    assert own == len(then.times) - 1
    assert replayed == own
    for name in ("times", "counts", "features", "users", "traces"):
        np.testing.assert_allclose(
            getattr(whole, name)[: replayed + 1], getattr(then, name), rtol=1e-6, atol=1e-9
        )
    contexts = [cut_at(one, cascade, np.array([age])).context for one in (whole, then)]
    np.testing.assert_allclose(contexts[0], contexts[1], rtol=1e-6, atol=1e-7)


@given(cascades(), st.floats(0, LATEST))
def test_a_replay_cut_at_an_age_is_the_snapshot_of_that_age(cascade: Cascade, age: float) -> None:
    if distinct(cascade, age):
        check_replay(cascade, age, 512)


@pytest.mark.parametrize("max_events", [512, 10_000])
@pytest.mark.parametrize("events", [60, 100, 101, 300, 700, 6_000])
def test_a_replay_of_a_large_cascade_cut_at_an_age_is_the_snapshot_of_that_age(
    events: int, max_events: int
) -> None:
    cascade = large(events)
    for age in np.exp(np.random.default_rng(1).uniform(0, math.log(LATEST), 60)):
        if distinct(cascade, age):
            check_replay(cascade, float(age), max_events)


def test_the_context_is_what_is_known_at_the_age() -> None:
    cascade, age = large(700), 9_000.0
    sequences = jumps_of(cascade, age)
    jumps = reference(cascade, age)
    count = count_at(cascade, age)
    uncounted = count - jumps[-1].count
    assert uncounted > 0
    [row] = cut_at(sequences, cascade, np.array([age])).context.tolist()
    named = dict(zip(CONTEXT, row, strict=True))
    published, observed = ((cascade.published_at + at) % DAY / DAY * 2 * math.pi for at in (0, age))
    last = Jump(age, uncounted, count, 0, {"summarised": 1.0})
    assert named == pytest.approx(
        {
            "log_count": math.log2(count) / 8,
            "log_age": log2(age),
            "log_rate": math.log2(count) / 8 - log2(age),
            "log_uncounted": log2(uncounted),
            "log_silence": log2(age - jumps[-1].time),
            "published_hour_sin": math.sin(published),
            "published_hour_cos": math.cos(published),
            "observed_hour_sin": math.sin(observed),
            "observed_hour_cos": math.cos(observed),
        }
        | {f"log_trace_{s:.0f}s": log2(trace([*jumps, last], s, age)) for s in TRACES},
        rel=1e-5,
        abs=1e-6,
    )


def test_an_observation_before_any_jump_has_none() -> None:
    cascade = Cascade("c", "u", 1e9, ["u"], np.array([ROOT], np.int32), np.array([5.0]))
    sequences = sequences_of(gather([snapshot_at(cascade, 60.0)]))
    found = cut(sequences, np.zeros(1, np.int64), np.array([4.0]), np.array([0]), np.array([1e9]))
    assert found.jump.tolist() == [-1]
    assert np.isfinite(found.context).all()
    empty = cut(jumps_of(cascade, 4.0), np.zeros(1, np.int64), np.array([4.0]), np.array([0]),
                np.array([1e9]))  # fmt: skip
    np.testing.assert_array_equal(empty.context, found.context)


def test_a_delay_that_rounding_puts_past_the_age_is_found() -> None:
    age = 1_000_000.05
    cascade = Cascade(
        "c", "u", 1e9, ["u", "v"], np.array([ROOT, 0], np.int32), np.array([0.0, age])
    )
    assert float(np.float32(age)) > age
    assert cut_at(jumps_of(cascade, 2e6), cascade, np.array([age])).jump.tolist() == [1]


def test_horizons_are_told_by_span_ratio_and_hour() -> None:
    ages, horizons = np.array([100.0, 5_000.0]), np.array([[700.0, 7_000.0], [4_000.0, 90_000.0]])
    published = np.array([1.4e9, 1.4e9 + 5_000])
    got = horizon_features(ages, horizons, published)
    assert got.shape == (2, 2, len(HORIZON))
    for row, column in itertools.product(range(2), range(2)):
        age = ages[row]
        horizon = max(horizons[row, column], age)
        angle = (published[row] + horizon) % DAY / DAY * 2 * math.pi
        assert got[row, column].tolist() == pytest.approx(
            [
                log2(horizon - age),
                math.log2((1 + horizon) / (1 + age)) / 8,
                math.sin(angle),
                math.cos(angle),
            ],
            abs=1e-5,
        )
