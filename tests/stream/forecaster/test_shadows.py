"""Shadows: they answer what was served, give way, and harm nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from models.cascades.batch import Batch
from models.interface import Forecaster, Increments
from stream.forecaster.shadows import Shadows
from stream.serving.cost import CallCost
from stream.serving.loading import Loaded, load
from stream.settings import Settings
from stream.workers.agents import Received
from topics.catalogue import CASCADE_SNAPSHOTS, SHADOW_FORECASTS
from topics.records import CascadeSnapshot

COUNT = 30


def message(number: int) -> Received:
    links = np.array([-1, 0, 0], "<i4").tobytes()
    snapshot = CascadeSnapshot(
        f"c{number}@n3", f"c{number}", "n3", 1e6, 300.0, 3, True,
        np.array([0, 1, 2], "<f4").tobytes(), links, links, links,
    )  # fmt: skip
    value = CASCADE_SNAPSHOTS.codec.encode(snapshot)
    return Received(CASCADE_SNAPSHOTS.name, number % 4, number, 1_700_000_000_000, b"k", value)


MESSAGES = [message(number) for number in range(COUNT)]
BAD = Received(CASCADE_SNAPSHOTS.name, 0, COUNT, 1_700_000_000_000, b"k", b"\xc1")


class Failing(Forecaster):
    name = "failing"
    version = "1"

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        raise ArithmeticError("no answer")


class Served(Failing):
    name = "served"


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


def shadows_of(metrics: CollectorRegistry, *names: str) -> Shadows:
    """Shadows of a model that is served, loaded."""
    settings = Settings(shadows=names)
    served = Loaded(Served(), CallCost(), "")  # it is not asked here
    shadows = Shadows(lambda: served, settings, metrics)
    shadows.load()
    return shadows


def value(metrics: CollectorRegistry, name: str, shadow: str) -> float | None:
    return metrics.get_sample_value(f"tidecast_forecaster_shadow_{name}_total", {"shadow": shadow})


def nobody() -> int:
    return 0


def test_a_shadow_answers_what_was_served_but_the_dead_letters(metrics: CollectorRegistry) -> None:
    shadows = shadows_of(metrics, "seismic", "boosting:1")
    outputs = [output for step in shadows([*MESSAGES, BAD], nobody) for output in step]
    assert {output.topic for _, output in outputs} == {SHADOW_FORECASTS.name}
    forecasts = [SHADOW_FORECASTS.codec.decode(output.value) for _, output in outputs]
    for model in ("seismic", "boosting"):
        ids = [f.forecast_id for f in forecasts if f.model == model]
        assert sorted(ids) == sorted(f"c{n}@n3/{model}-1" for n in range(COUNT))
    for (partition, output), forecast in zip(outputs, forecasts, strict=True):
        number = int(forecast.cascade_id[1:])
        assert (partition, output.key) == (number % 4, forecast.cascade_id.encode())
        assert output.headers[0] == ("event_timestamp", b"1700000000000")
    assert value(metrics, "forecasts", "boosting:1") == COUNT
    assert value(metrics, "skipped", "boosting:1") == 0


def test_a_shadow_gives_way_when_the_next_batch_waits(metrics: CollectorRegistry) -> None:
    shadows = shadows_of(metrics, "seismic")
    assert list(shadows(MESSAGES, lambda: Settings().forecast_batch)) == []
    assert value(metrics, "skipped", "seismic") == COUNT


def test_it_gives_way_by_time_too(metrics: CollectorRegistry) -> None:
    shadows = shadows_of(metrics, "seismic")
    shadows._served().cost.costs = np.array([0.0, 0.01, 0.0])
    assert list(shadows(MESSAGES, lambda: 11)) == []
    assert sum(map(len, shadows(MESSAGES, lambda: 9))) == COUNT


def test_it_is_asked_before_each_call(metrics: CollectorRegistry) -> None:
    shadows = shadows_of(metrics, "seismic")
    cost = shadows._live["seismic"].cost
    cost.costs = np.array([0.0, 0.01, 0.0])  # ten snapshots a call
    waits = iter([0, 0, 1_000_000])
    steps = shadows(MESSAGES, lambda: next(waits))
    assert [len(step) for step in steps] == [10, 10]
    assert value(metrics, "skipped", "seismic") == 10


def test_a_shadow_that_fails_is_dropped_and_the_others_go_on(metrics: CollectorRegistry) -> None:
    shadows = shadows_of(metrics, "seismic:1", "seismic")
    shadows._live["seismic:1"] = Loaded(Failing(), CallCost(), "")
    for _ in range(2):
        outputs = [output for step in shadows(MESSAGES, nobody) for output in step]
        assert len(outputs) == COUNT
    assert value(metrics, "failures", "seismic:1") == 1
    assert value(metrics, "forecasts", "seismic") == 2 * COUNT


def test_a_version_that_is_served_is_not_tried_as_well(metrics: CollectorRegistry) -> None:
    served = load(Settings(), "seismic")
    shadows = Shadows(lambda: served, Settings(), metrics)
    shadows.load()
    assert list(shadows(MESSAGES, nobody)) == []
    served = Loaded(Failing(), served.cost, served.digest)
    assert sum(map(len, shadows(MESSAGES, nobody))) == COUNT


def test_where_the_registry_has_none_of_the_name_the_one_that_ships_is_tried(
    metrics: CollectorRegistry, tmp_path: Path, copy_version: Callable[[Path, str, str], Path]
) -> None:
    copy_version(tmp_path, "boosting", "1")
    served = Loaded(Failing(), CallCost(), "")
    shadows = Shadows(lambda: served, Settings(registry=str(tmp_path)), metrics)
    shadows.load()
    assert sum(map(len, shadows(MESSAGES, nobody))) == COUNT


def test_a_shadow_that_cannot_be_loaded_is_dropped(
    metrics: CollectorRegistry, tmp_path: Path, copy_version: Callable[[Path, str, str], Path]
) -> None:
    shadows = shadows_of(metrics, "unheard-of", "seismic:9")
    assert list(shadows(MESSAGES, nobody)) == []
    assert value(metrics, "failures", "unheard-of") == value(metrics, "failures", "seismic:9") == 1
