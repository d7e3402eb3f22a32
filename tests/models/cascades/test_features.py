"""The compiled features against the plain definition of each."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from models.cascades.batch import gather
from models.cascades.features import (
    HORIZON_NAMES,
    NAMES,
    PRIOR_MEAN,
    PRIOR_WEIGHT,
    features,
    features_of,
)
from models.cascades.power_law import PAPER_EXPONENT, PAPER_PLATEAU, cumulative, first_moment
from models.cascades.timing import EARLY_SHARES, LAST, PARTS, QUARTERS, RECENT_SHARES, SPANS, TURNS
from models.data.datasets import Cascade, snapshot_at
from tests.models.strategies import cascades
from topics.records import BIN_EDGES, CascadeSnapshot


def density(lag: float) -> float:
    scale = PAPER_EXPONENT / (PAPER_PLATEAU * (1 + PAPER_EXPONENT))
    return scale * max(lag / PAPER_PLATEAU, 1.0) ** -(1 + PAPER_EXPONENT)


def pieces(snapshot: CascadeSnapshot) -> list[tuple[float, float, int]]:
    """The events as (low, high, count): points for those kept, intervals for the rest."""
    age = snapshot.age
    kept = [(float(d), float(d), 1) for d in snapshot.delays()]
    last = kept[-1][0]
    bounds = [0.0, *BIN_EDGES, math.inf]
    rest = []
    for low, high, count in zip(bounds[:-1], bounds[1:], snapshot.rest_counts(), strict=False):
        if count:
            low = min(max(low, last), age)
            rest.append((low, max(low, min(high, age)), int(count)))
    return kept + rest


def until(snapshot: CascadeSnapshot, time: float) -> float:
    total = 0.0
    for low, high, count in pieces(snapshot):
        if time >= high:
            total += count
        elif time > low:
            total += count * (time - low) / (high - low)
    return total


def delay_of(snapshot: CascadeSnapshot, rank: int) -> float:
    if rank < 1:
        return 0.0
    for low, high, count in pieces(snapshot):
        if rank <= count:
            return min(low + (high - low) * rank / count, snapshot.age)
        rank -= count
    raise AssertionError("rank beyond the events")


def hour(time: float) -> tuple[float, float]:
    angle = 2 * math.pi * (time % 86_400) / 86_400
    return math.sin(angle), math.cos(angle)


def reference(snapshot: CascadeSnapshot, horizon: float) -> dict[str, float]:
    """Every feature, each by its definition."""
    age, count = snapshot.age, snapshot.observed_count
    delays, parents = snapshot.delays().astype(float), snapshot.parents()
    depths, users = snapshot.depths(), snapshot.users()
    events = len(delays)
    f: dict[str, float] = {}
    f["log_count"] = math.log2(count)
    f["log_age"] = math.log2(1 + age)
    f["log_rate"] = f["log_count"] - f["log_age"]
    for share in EARLY_SHARES:
        f[f"share_by_{share:.3g}_of_age"] = until(snapshot, age * share) / count
    for share in RECENT_SHARES:
        recent = count - until(snapshot, age * (1 - share))
        f[f"log_count_in_last_{share:.3g}_of_age"] = math.log2(1 + max(recent, 0))
    for span in SPANS:
        f[f"log_count_by_{span:.0f}s"] = math.log2(1 + until(snapshot, min(span, age)))
        before = until(snapshot, age - span) if span < age else 0
        f[f"log_count_in_last_{span:.0f}s"] = math.log2(1 + max(count - before, 0))
    for rank in LAST:
        since = age - delay_of(snapshot, count - rank + 1)
        f[f"log_time_since_last_{rank}"] = math.log2(1 + since)
    for quarter in QUARTERS:
        reached = delay_of(snapshot, math.ceil(count * quarter))
        f[f"age_share_at_{quarter:.2g}_of_count"] = reached / max(age, 1)
    for turn in TURNS:
        until_turn = [until(snapshot, age * (1 - turns * turn)) for turns in (1, 2)]
        last, before = max(count - until_turn[0], 0), max(until_turn[0] - until_turn[1], 0)
        f[f"log_ratio_of_last_two_{turn:.3g}_of_age"] = math.log2((1 + last) / (1 + before))
    ends = [until(snapshot, age * (part + 1) / PARTS) for part in range(PARTS - 1)]
    inside = np.maximum(np.diff([0.0, *ends, count]), 0)
    busiest = next(part for part in range(PARTS) if inside[part] >= inside.max() - 1e-6)
    f["log_count_in_busiest_16th_of_age"] = math.log2(1 + inside.max())
    f["place_of_busiest_16th_of_age"] = busiest / PARTS
    shares = inside[inside > 0] / count
    f["entropy_of_16ths_of_age"] = -float(np.sum(shares * np.log2(shares)))
    scale = max(age, 1)
    moments = [0.0, 0.0]
    for low, high, weight in pieces(snapshot):
        low, high = min(low, age) / scale, min(high, age) / scale
        moments[0] += weight * (low + high) / 2 / count
        spread = (high - low) ** 2 / 12
        moments[1] += weight * (((low + high) / 2) ** 2 + spread) / count
    f["mean_delay_over_age"] = moments[0]
    f["deviation_delay_over_age"] = math.sqrt(max(moments[1] - moments[0] ** 2, 0))
    f["log_first_delay"] = math.log2(1 + (delay_of(snapshot, 2) if count > 1 else age))
    gaps = np.log2(1 + np.diff(delays))
    f["mean_log_gap"] = gaps.mean() if len(gaps) else f["log_age"]
    f["deviation_log_gap"] = gaps.std() if len(gaps) else 0.0
    reactions = [math.log2(1 + delays[i] - delays[p]) for i, p in enumerate(parents) if p >= 0]
    f["mean_log_reaction"] = float(np.mean(reactions)) if reactions else 0.0
    f["mean_depth"] = depths.mean()
    f["max_depth"] = depths.max()
    f["share_deeper_than_1"] = np.mean(depths > 1)
    f["share_unknown_parent"] = np.mean(parents == -2)
    children = [int(np.sum(parents == i)) for i in range(events)]
    f["log_children_of_root"] = math.log2(1 + children[0])
    f["log_most_children"] = math.log2(1 + max(children[1:], default=0))
    f["share_with_children"] = np.mean(np.array(children) > 0)
    f["share_of_distinct_users"] = len(set(users.tolist())) / events

    answers, exposure, direct = PRIOR_WEIGHT * PRIOR_MEAN, PRIOR_WEIGHT, 0.0
    for index, (low, high, weight) in enumerate(pieces(snapshot)):
        posted = min((low + high) / 2, age)
        if index > 0:
            answers += weight * max(0.0, 1 - 2 * (age - posted) / age) if age else 0.0
        start = max(posted, age / 2)
        if age > start:
            knots = [posted + PAPER_PLATEAU] if start < posted + PAPER_PLATEAU < age else None
            exposure += (
                weight
                * quad(
                    lambda s, posted=posted: (1 - 2 * (age - s) / age) * density(s - posted),
                    start,
                    age,
                    points=knots,
                    limit=200,
                )[0]
            )
        direct += weight * (
            cumulative(horizon - posted, PAPER_PLATEAU, PAPER_EXPONENT)
            - cumulative(age - posted, PAPER_PLATEAU, PAPER_EXPONENT)
        )
    infectiousness = answers / exposure
    f["log_infectiousness"] = math.log2(infectiousness)
    f["published_hour_sin"], f["published_hour_cos"] = hour(snapshot.published_at)
    f["observed_hour_sin"], f["observed_hour_cos"] = hour(snapshot.published_at + age)
    f["log_span"] = math.log2(1 + horizon - age)
    f["log_horizon_over_age"] = math.log2((1 + horizon) / (1 + age))
    f["log_direct_answers"] = math.log2(1 + infectiousness * direct)
    recent = max(count - until(snapshot, age / 2), 0)
    f["log_answers_at_rate"] = math.log2(1 + recent * 2 * (horizon - age) / (1 + age))
    f["horizon_hour_sin"], f["horizon_hour_cos"] = hour(snapshot.published_at + horizon)
    return f


@settings(deadline=None, max_examples=25)
@given(cascades(), st.floats(0, 20), st.integers(1, 70), st.floats(0, 20))
def test_features_are_what_their_definitions_say(
    cascade: Cascade, log_age: float, max_events: int, log_span: float
) -> None:
    snapshot = snapshot_at(cascade, float(np.float32(2.0**log_age)), max_events)
    horizon = snapshot.age + 2.0**log_span
    expected = reference(snapshot, horizon)
    got = dict(
        zip(NAMES + HORIZON_NAMES, features([snapshot], np.array([horizon]))[0, 0], strict=True)
    )
    for name, value in got.items():
        assert value == pytest.approx(expected[name], rel=1e-5, abs=1e-5), name


@settings(deadline=None)
@given(st.lists(cascades(), min_size=1, max_size=5), st.floats(1, 1e6))
def test_a_row_does_not_depend_on_the_rest_of_the_batch(batch: list[Cascade], age: float) -> None:
    snapshots = [snapshot_at(cascade, age, 20) for cascade in batch]
    horizons = np.array([age, 2 * age, 1e7])
    together = features(snapshots, horizons)
    alone = [features([snapshot], horizons)[0] for snapshot in snapshots]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_each_snapshot_may_have_horizons_of_its_own() -> None:
    root = Cascade("c", "a", 1e9, ["a"], np.array([-1], np.int32), np.zeros(1))
    snapshots = [snapshot_at(root, age) for age in (10.0, 1000.0)]
    own = features_of(gather(snapshots), np.array([[20.0], [2000.0]]))
    np.testing.assert_array_equal(own[1], features(snapshots[1:], np.array([2000.0]))[0])


def test_an_empty_batch_and_no_horizons_give_empty_arrays() -> None:
    width = len(NAMES) + len(HORIZON_NAMES)
    assert features([], np.array([1.0, 2.0])).shape == (0, 2, width)
    root = Cascade("c", "a", 1e9, ["a"], np.array([-1], np.int32), np.zeros(1))
    assert features([snapshot_at(root, 1.0)], np.empty(0)).shape == (1, 0, width)


@pytest.mark.parametrize("lag", [0.0, 10.0, 300.0, 301.0, 1e5])
def test_the_memory_integrates_its_density(lag: float) -> None:
    for closed, integrand in (
        (cumulative, density),
        (first_moment, lambda s: s * density(s)),
    ):
        near = quad(integrand, 0, min(lag, PAPER_PLATEAU))[0]
        far = quad(integrand, PAPER_PLATEAU, max(lag, PAPER_PLATEAU), limit=200)[0]
        assert closed(lag, PAPER_PLATEAU, PAPER_EXPONENT) == pytest.approx(near + far, rel=1e-6)
