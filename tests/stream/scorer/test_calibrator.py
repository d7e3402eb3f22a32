"""Corrections from scores: each counts once, and who takes over goes on where the last one was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError
from prometheus_client import CollectorRegistry

from stream.kafka.all_to_one import AllToOne
from stream.scorer import calibrator
from stream.scorer.calibrator import Calibration, Calibrator, Cell
from stream.settings import Settings
from topics.records import ForecastScore

HORIZONS = (3_600.0, 86_400.0)
CELL = Cell("m", "1", 3_600.0, "under 15m")


def score(number: int, **changes: Any) -> ForecastScore:
    fields: dict[str, Any] = {
        "forecast_id": f"c{number}@n10/m-1", "cascade_id": f"c{number}", "age": 300.0,
        "horizon": 3_600.0, "predicted": 30.0, "realised": 10 + number * 13 % 80,
        "log2_error": 0.0, "inside_interval": number % 3 > 0, "model": "m", "model_version": "1",
        "observed_count": 10, "own_low": 20.0, "own_high": 50.0,
    }  # fmt: skip
    return ForecastScore(**(fields | changes))


def test_a_score_counts_once_for_its_cell_and_what_is_no_cell_not_at_all() -> None:
    calibration = Calibration(HORIZONS)
    assert calibration.take(0, 0, score(0)) == CELL
    assert calibration.take(0, 1, score(0)) is None  # repeated
    assert calibration.take(0, 2, score(1, degraded=True)) is None
    assert calibration.take(0, 3, score(2, horizon=5_000.0)) is None
    assert calibration.take(2, 7, score(3, shadow=True)) == CELL
    assert calibration.take(0, 4, score(0, horizon=86_400.0)) == CELL._replace(horizon=86_400.0)
    record = calibration.record(CELL)
    assert record.sample_size == 2
    assert record.counted == [5, 0, 8]


@pytest.mark.parametrize("died_at", [1, 50, 99])
def test_a_successor_counts_what_is_left_however_much_is_read_again(died_at: int) -> None:
    scores = [score(number) for number in range(100)]
    undisturbed, first, second = (Calibration(HORIZONS) for _ in range(3))
    for offset, each in enumerate(scores):
        undisturbed.take(0, offset, each)
        if offset < died_at:
            first.take(0, offset, each)
    second.restore(first.record(CELL), {0: 100})
    for offset, each in enumerate(scores):
        second.take(0, offset, each)
    assert second.record(CELL) == undisturbed.record(CELL)


def test_a_shift_is_learnt_from_the_models_own_points() -> None:
    corrected, stated = Calibration(HORIZONS), Calibration(HORIZONS)
    for number in range(1_000):
        corrected.take(0, number, score(number, realised=73, own_predicted=25.0))
        stated.take(0, number, score(number, realised=73, predicted=25.0))
    # 64 and 16 by the increment, one added: two apart in log2.
    assert corrected.record(CELL).shift == pytest.approx(2.0, abs=0.05)
    assert corrected.record(CELL) == stated.record(CELL)


def test_what_a_predecessor_counted_and_a_dying_scorer_repeats_counts_once() -> None:
    predecessor = Calibration(HORIZONS)
    for offset in range(50):
        predecessor.take(0, offset, score(offset))
    successor = Calibration(HORIZONS)
    successor.restore(predecessor.record(CELL), {0: 60})
    for offset in range(50):
        assert successor.remember(score(offset))
    for number in range(40, 50):
        assert successor.take(0, 10 + number, score(number)) is None
    assert successor.take(0, 60, score(60)) == CELL
    assert successor.record(CELL).sample_size == 51


def test_scores_of_a_topic_made_anew_count_again() -> None:
    calibration = Calibration(HORIZONS)
    calibration.take(0, 500, score(0))
    successor = Calibration(HORIZONS)
    successor.restore(calibration.record(CELL), {0: 3})
    assert successor.take(0, 0, score(1)) == CELL
    assert successor.record(CELL).sample_size == 2


def test_one_member_has_all_partitions_and_the_others_none() -> None:
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: {1, 0, 2})
    members = {name: AllToOne.metadata(["forecast.scores"]) for name in ("b", "a", "c")}
    assigned = AllToOne.assign(cluster, members)
    assert assigned["a"].assignment == [("forecast.scores", [0, 1, 2])]
    assert assigned["b"].assignment == assigned["c"].assignment == []


async def test_brokers_that_are_away_are_waited_for_and_a_refusal_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = [KafkaTimeoutError(), KafkaTimeoutError(), TopicAuthorizationFailedError()]

    async def follow(_: Calibrator) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(calibrator, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(Calibrator, "_follow", follow)
    with pytest.raises(TopicAuthorizationFailedError):
        await Calibrator(Settings(), CollectorRegistry()).run()
    assert errors == []
