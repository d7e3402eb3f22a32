"""What `tidecast up` shows, and what it keeps of what it has seen."""

from __future__ import annotations

import io
import math
from itertools import chain

import pytest
from aiokafka import ConsumerRecord
from rich.console import Console

from stream.kafka.progress import Position
from stream.local import board
from stream.local.observer import Observed, Observer
from stream.processes.starting import Told
from stream.settings import Settings
from tests.clock import Clock
from topics.catalogue import (
    CACHE_DECISIONS,
    DEAD_LETTERS,
    FORECAST_SCORES,
    POPULARITY_FORECASTS,
    Topic,
)
from topics.records import EdgeEpoch, ForecastScore, HorizonForecast, PopularityForecast, Quantiles


def forecast(name: str, expected: float, observed_at: float = 1_000.0) -> PopularityForecast:
    spread = Quantiles(expected / 2, expected * 0.8, expected, expected * 1.2, expected * 2)
    horizons = [HorizonForecast(3_600.0, expected, spread)]
    return PopularityForecast(
        f"{name}@n10/m-1", name, 0.0, observed_at, 300.0, 10, horizons, 0.25, 500, "m", "1", False,
        produced_at=1_001.5,
    )  # fmt: skip


def epoch(requests: int, hit_ratio: float) -> EdgeEpoch:
    return EdgeEpoch("edge-0", 7, 2_100.0, 300.0, requests, 50, 5, 5, hit_ratio, 0.2, "m", "1", 0.0)


def score(error: float, inside: bool) -> ForecastScore:
    return ForecastScore(
        "c@n10/m-1", "c", 300.0, 3_600.0, 20.0, 5, 1.0, inside, "m", "1",
        increment_log2_error=error,
    )  # fmt: skip


def record(source: Topic, value: object, **headers: str) -> ConsumerRecord:
    encoded = value if isinstance(value, bytes | None) else source.codec.encode(value)
    listed = tuple((name, text.encode()) for name, text in headers.items())
    return ConsumerRecord(source.name, 0, 0, 0, 0, b"k", encoded, 0, 1, 1, listed)


def observed() -> Observed:
    """What an observer has after a handful of messages of each kind."""
    observer = Observer(Settings())
    take = observer._take
    forecasts = [forecast(f"c{i}", 20.0 + i) for i in range(15)]
    take(
        POPULARITY_FORECASTS,
        [record(POPULARITY_FORECASTS, one, event_timestamp="1001000") for one in forecasts],
    )
    take(
        CACHE_DECISIONS,
        [record(CACHE_DECISIONS, one) for one in (epoch(100, 0.5), epoch(300, 0.3), None)],
    )
    take(
        FORECAST_SCORES,
        [record(FORECAST_SCORES, one) for one in (score(2.0, True), score(0.0, False))],
    )
    take(DEAD_LETTERS, [record(DEAD_LETTERS, b"?", topic="social.events", error="DecodeError")])
    return observer.observed


def test_the_observer_counts_and_times() -> None:
    seen = observed()
    assert (seen.forecasts, seen.withdrawn, seen.dead_letters) == (15, 1, 1)
    assert seen.latency(50, 99) == [0.5, 0.5]
    assert seen.dead_letters_of("social.events") == 1
    assert seen.dead_letters_of("edge.requests") == 0
    assert [one.cascade_id for one in seen.growing(2)] == ["c14", "c13"]
    assert math.isclose(seen.edges["edge-0"].hit_ratio, 0.35)
    [(kind, totals)] = seen.scored.items()
    assert (kind, totals.msle, totals.coverage) == (("served", "m", "1"), 2.0, 0.5)


def test_what_is_stale_is_not_shown() -> None:
    seen = observed()
    seen.latest_event = 1_000.0 + 5 * 3600
    assert seen.growing(5) == []


def test_forecasts_are_bounded_by_what_is_worth_keeping() -> None:
    observer = Observer(Settings())
    for i in range(5_000):
        observer._take_forecast(record(POPULARITY_FORECASTS, forecast(f"c{i}", 10.0 + i)))
    assert len(observer.observed.cascades) <= 2_000
    assert observer.observed.growing(1)[0].cascade_id == "c4999"


def test_the_display_says_it_all() -> None:
    status = board.Status(phase="running", kafka="broker:1", observed=observed())
    status.events_sent = 1_234
    status.positions = {"tracker": Position(1_200, 34)}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(board.render(status, board.Rates()))
    text = console.export_text()
    parts = (
        ("running", "1,234 events", "1,200", "34"),
        ("c14", "17 – 68", "25%"),
        ("edge-0", "0.350", "+0.150"),
        ("1 DecodeError in social.events", "500 ms"),
    )
    for part in chain.from_iterable(parts):
        assert part in text, part
    assert "c4 " not in text, "only the ten that are forecast to grow most"


def test_one_line_says_the_same_where_there_is_no_terminal() -> None:
    status = board.Status(phase="draining", observed=observed())
    status.positions = {"tracker": Position(1_200, 34)}
    line = board.line(status, board.Rates())
    assert "draining" in line
    assert "lag 34" in line
    assert "15 forecasts (500 ms p50" in line


def test_durations_read_well() -> None:
    shown = [
        board._seconds(s) for s in (None, 0.0351, 1.5, 119, 130, 7_100, 7_300, 90_000, 259_200)
    ]
    assert shown == ["–", "35 ms", "1.5 s", "119 s", "2.2 min", "118 min", "2.0 h", "25 h", "3.0 d"]


def test_lines_say_what_is_new_and_leave_no_long_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock().read_by(monkeypatch, board)
    status = board.Status(started=clock.now)
    lines = board.Lines(status, board.Rates())

    def told(name: str, words: str, ready: bool = False) -> None:
        status.starting = {**status.starting, name: Told(name, words, ready, clock.now)}

    assert lines.due() == []
    told("broker", "up", ready=True)
    told("ranker", "importing")
    assert lines.due() == ["   0.0s broker: up", "   0.0s ranker: importing"]
    assert lines.due() == []
    clock.now += 3
    assert lines.due() == ["   3.0s ranker: importing, for 3.0 s"]
    told("ranker", "compiling kernel 2, _select")
    assert lines.due() == ["   3.0s ranker: compiling kernel 2, _select"]
    assert not status.are_ready
    told("ranker", "joined", ready=True)
    lines.due()
    clock.now += 3
    assert status.are_ready
    (line,) = lines.due()
    assert "starting: sent 0 events" in line
    # Once something has come out a line now and then is enough.
    status.observed = observed()
    clock.now += 3
    assert lines.due() == []
    clock.now += 3
    assert len(lines.due()) == 1
