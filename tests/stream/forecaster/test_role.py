"""The forecaster's batch: forecasts for usable snapshots, dead letters for the others."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from models.cascades.batch import Batch
from models.interface import Forecaster, Increments
from stream.forecaster import batch as forecast_batch
from stream.forecaster.batch import ForecastBatch, fall_back
from stream.serving.cost import CallCost
from stream.serving.loading import Loaded
from stream.settings import Duration, Settings
from stream.telemetry.traces import derived
from stream.workers.agents import Received
from stream.workers.publishing.output import Output
from tests.clock import Clock
from topics.catalogue import CASCADE_SNAPSHOTS, DEAD_LETTERS, POPULARITY_FORECASTS
from topics.records import CascadeSnapshot, PopularityForecast

HOUR = 3600.0
SETTINGS = Settings(horizons=tuple(Duration(hours * HOUR) for hours in (1, 4, 48)))


class GrowthByTime(Forecaster):
    """One more event for each `seconds` to come, and intervals an octave wide."""

    name = "growth"
    version = "3"
    seconds = 60.0

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        expected = np.maximum(horizons - batch.ages[:, None], 0) / self.seconds
        spread = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
        quantiles = np.log2(1 + expected)[:, :, None] + spread
        return Increments(
            quantiles=np.where(expected[:, :, None] > 0, np.maximum(quantiles, 0), 0),
            expected=expected,
            log_mean=np.log2(1 + expected),
        )


def snapshot(cascade: str = "c", age: float = 300.0, count: int = 10) -> CascadeSnapshot:
    described = min(count, 512)
    delays = np.linspace(0, age, described, dtype="<f4")
    links = np.arange(-1, described - 1, dtype="<i4").tobytes()
    return CascadeSnapshot(
        snapshot_id=f"{cascade}@a{age:.0f}",
        cascade_id=cascade,
        trigger=f"a{age:.0f}",
        published_at=1_000_000.0,
        age=age,
        observed_count=count,
        rooted=True,
        delay=delays.tobytes(),
        parent=links,
        depth=links,
        user=links,
    )


def message(value: bytes | None, offset: int = 7, partition: int = 2) -> Received:
    return Received("cascade.snapshots", partition, offset, 1_700_000_000_123, b"the key", value)


def encoded(record: CascadeSnapshot) -> bytes:
    return CASCADE_SNAPSHOTS.codec.encode(record)


def loaded(model: Forecaster) -> Loaded:
    return Loaded(model, CallCost(), "sha256:" + "0" * 64)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def batch(registry: CollectorRegistry) -> ForecastBatch:
    served = loaded(GrowthByTime())
    return ForecastBatch(lambda: served, SETTINGS, registry)


def forecast_of(output: Output) -> PopularityForecast:
    assert output.topic == POPULARITY_FORECASTS.name
    return POPULARITY_FORECASTS.codec.decode(output.value)


def test_a_snapshot_is_forecast_at_the_horizons_ahead_of_it(batch: ForecastBatch) -> None:
    [(partition, output)] = batch([message(encoded(snapshot(age=2 * HOUR, count=100)))])
    forecast = forecast_of(output)
    assert partition == 2
    assert output.key == b"c"
    assert output.headers[0] == ("event_timestamp", b"1700000000123")
    assert output.timestamp_ms == round(forecast.produced_at * 1000)
    assert forecast.forecast_id == "c@a7200/growth-3"
    assert (forecast.observed_count, forecast.age) == (100, 2 * HOUR)
    assert forecast.observed_at == 1_000_000 + 2 * HOUR
    assert [h.horizon for h in forecast.horizons] == [4 * HOUR, 48 * HOUR]
    assert [h.expected for h in forecast.horizons] == [100 + 120, 100 + 46 * 60]
    assert forecast.horizons[0].quantiles.p50 == pytest.approx(220)
    assert forecast.horizons[0].quantiles.p95 == pytest.approx(100 + 2 * 121 - 1)
    assert (forecast.model, forecast.model_version, forecast.degraded) == ("growth", "3", False)


def test_a_snapshot_past_the_last_horizon_is_answered_that_much_later(
    batch: ForecastBatch, registry: CollectorRegistry
) -> None:
    late = snapshot("late", age=50 * HOUR)
    outputs = batch([message(encoded(late)), message(encoded(snapshot("young")))])
    forecasts = {forecast_of(output).cascade_id: forecast_of(output) for _, output in outputs}
    assert [h.horizon for h in forecasts["late"].horizons] == [98 * HOUR]
    assert registry.get_sample_value("tidecast_forecaster_past_horizon_total") == 1
    assert registry.get_sample_value("tidecast_forecaster_forecasts_total") == 2
    assert registry.get_sample_value("tidecast_forecaster_snapshots_total") == 2


@pytest.mark.parametrize("count", [500, 10_000])
def test_what_has_gone_viral_stays_so(batch: ForecastBatch, count: int) -> None:
    [(_, output)] = batch([message(encoded(snapshot(count=count)))])
    assert forecast_of(output).viral_probability == 1


BROKEN = {
    "null": (None, "null"),
    "junk": (b"\xc1 not a record", "malformed"),
    "missing field": (msgspec.msgpack.encode({"snapshot_id": "x"}), "cascade_id"),
    "negative age": (encoded(msgspec.structs.replace(snapshot(), age=-1.0)), "age"),
    "unequal arrays": (
        encoded(msgspec.structs.replace(snapshot(), depth=b"\0\0\0\0")), "equal lengths"),
    "torn array": (
        encoded(msgspec.structs.replace(
            snapshot(), delay=b"\0", parent=b"\0", depth=b"\0", user=b"\0")), "4 bytes"),
    "more described than counted": (
        encoded(msgspec.structs.replace(snapshot(), observed_count=9)), "at least the 10"),
    "torn bins": (encoded(msgspec.structs.replace(snapshot(), rest=b"\0" * 8)), "rest: got 8"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_bad_snapshot_is_a_dead_letter_and_harms_no_other(
    batch: ForecastBatch, registry: CollectorRegistry, kind: str
) -> None:
    value, reason = BROKEN[kind]
    good = encoded(snapshot("good"))
    outputs = batch([message(good, 6), message(value, 7), message(good, 8)])
    dead = [(number, o) for number, o in outputs if o.topic == DEAD_LETTERS.name]
    assert len(outputs) == 3
    [(partition, letter)] = dead
    headers = dict(letter.headers)
    assert partition == 2
    assert (letter.key, letter.value) == (b"the key", value)
    assert reason in headers.pop("message").decode()
    assert headers == {
        "topic": b"cascade.snapshots",
        "partition": b"2",
        "offset": b"7",
        "timestamp": b"1700000000123",
        "role": b"forecaster",
        "error": b"DecodeError",
        "traceparent": derived("cascade.snapshots/2/7"),
    }
    assert registry.get_sample_value("tidecast_forecaster_dead_letters_total") == 1
    assert registry.get_sample_value("tidecast_forecaster_forecasts_total") == 2


snapshots = st.builds(
    snapshot,
    cascade=st.sampled_from("abcd"),
    age=st.floats(0, 60 * HOUR),
    count=st.integers(1, 2_000),
)


@given(st.lists(snapshots, max_size=20))
def test_a_batch_answers_as_each_snapshot_alone(given_snapshots: list[CascadeSnapshot]) -> None:
    """The batch against the obvious: one snapshot and one horizon at a time."""
    model = GrowthByTime()
    served = loaded(model)
    batch = ForecastBatch(lambda: served, SETTINGS, CollectorRegistry())
    forecasts = [
        forecast_of(output) for _, output in batch([message(encoded(s)) for s in given_snapshots])
    ]
    last = SETTINGS.horizons[-1]
    assert [f.forecast_id for f in forecasts] == [
        f"{s.snapshot_id}/growth-3" for s in given_snapshots
    ]
    for seen, forecast in zip(given_snapshots, forecasts, strict=True):
        ahead = [h for h in SETTINGS.horizons if h > seen.age] or [seen.age + last]
        assert [h.horizon for h in forecast.horizons] == ahead
        for horizon, answer in zip(ahead, forecast.horizons, strict=True):
            alone = model.forecast([seen], np.array([horizon]))
            assert answer.expected == pytest.approx(seen.observed_count + alone.expected[0, 0])
            assert answer.geometric_mean == pytest.approx(
                seen.observed_count + 2 ** alone.log_mean[0, 0] - 1
            )
            assert msgspec.structs.astuple(answer.quantiles) == pytest.approx(
                seen.observed_count + 2 ** alone.quantiles[0, 0] - 1
            )
        furthest = model.forecast([seen], np.array(ahead[-1:]))
        wanted = np.array([SETTINGS.viral_count - seen.observed_count], float)
        assert forecast.viral_probability == pytest.approx(furthest.probability_of(wanted)[0])


class Recorder(GrowthByTime):
    """Notes how many events each snapshot of each call has."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        self.calls.append(np.diff(batch.offsets).tolist())
        return super().forecast_batch(batch, horizons)


def test_a_batch_is_cut_into_calls_of_alike_and_answered_in_order() -> None:
    model = Recorder()
    served = loaded(model)
    # A millisecond an event, and 100 of them a call.
    served.cost.costs = np.array([0.0, 0.0, 1e-3])
    served.cost.learn = lambda *_: None
    batch = ForecastBatch(lambda: served, SETTINGS, CollectorRegistry())
    counts = [40, 300, 10, 50, 20, 45, 10]
    asked = [snapshot(f"c{at}", count=count) for at, count in enumerate(counts)]
    outputs = batch([message(encoded(one), at) for at, one in enumerate(asked)])
    assert model.calls == [[10, 10, 20, 40], [45, 50], [300]]
    assert [forecast_of(output).cascade_id for _, output in outputs] == [
        f"c{at}" for at in range(len(counts))
    ]
    assert [forecast_of(output).observed_count for _, output in outputs] == counts


def test_all_calls_of_a_batch_are_made_by_one_version() -> None:
    newer = loaded(GrowthByTime())
    newer.model.version = "4"

    class Replaced(GrowthByTime):
        def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
            served[0] = newer
            return super().forecast_batch(batch, horizons)

    served = [loaded(Replaced())]
    served[0].cost.costs = np.array([0.0, 1.0, 0.0])  # a call a snapshot
    batch = ForecastBatch(lambda: served[0], SETTINGS, CollectorRegistry())
    messages = [message(encoded(snapshot(f"c{at}")), at) for at in range(3)]
    versions = [[forecast_of(o).model_version for _, o in batch(messages)] for _ in range(2)]
    assert versions == [["3"] * 3, ["4"] * 3]


class Late(GrowthByTime):
    name = "late"


def test_the_fall_back_answers_while_even_the_newest_has_waited_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock().read_by(monkeypatch, forecast_batch)
    settings = SETTINGS.having(degrade_after=Duration(60))
    registry = CollectorRegistry()
    served, fall_back = loaded(Late()), loaded(GrowthByTime())
    batch = ForecastBatch(lambda: served, settings, registry, fall_back)
    now = round(clock.now * 1000)

    def answered(*waited: float) -> list[tuple[str, bool]]:
        messages = [
            message(encoded(snapshot(f"c{at}")), at)._replace(timestamp=now - round(1000 * seconds))
            for at, seconds in enumerate(waited)
        ]
        forecasts = [forecast_of(output) for _, output in batch(messages)]
        assert all(f.forecast_id.endswith(f"/{f.model}-3") for f in forecasts)
        return [(forecast.model, forecast.degraded) for forecast in forecasts]

    assert answered(1, 900) == [("late", False)] * 2
    assert answered(100, 900) == [("growth", True)] * 2
    assert registry.get_sample_value("tidecast_forecaster_degraded_total") == 2
    assert answered(900, 0) == [("late", False)] * 2
    assert registry.get_sample_value("tidecast_forecaster_degraded_total") == 2
    never = ForecastBatch(lambda: served, settings, CollectorRegistry())
    old = [message(encoded(snapshot()))._replace(timestamp=now - 900_000)]
    assert not forecast_of(never(old)[0][1]).degraded


def test_the_fall_back_is_seismic_unless_it_is_served_or_never_asked(tmp_path: Path) -> None:
    late = Settings(degrade_after=Duration(1))
    found = fall_back(late.having(registry=str(tmp_path)))
    assert found is not None and found.model.name == "seismic"
    assert fall_back(Settings()) is None
    assert fall_back(late.having(forecaster="seismic")) is None


def test_the_costs_of_calls_are_metrics(batch: ForecastBatch, registry: CollectorRegistry) -> None:
    batch([message(encoded(snapshot()))])
    costs = [
        registry.get_sample_value("tidecast_forecaster_cost_seconds", {"of": of})
        for of in ("call", "snapshot", "event")
    ]
    assert all(cost is not None and cost >= 0 for cost in costs)
    assert registry.get_sample_value("tidecast_forecaster_call_seconds_count") == 1
    assert registry.get_sample_value("tidecast_forecaster_events_total") == 10
