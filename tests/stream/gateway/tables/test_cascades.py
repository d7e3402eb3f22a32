"""What the gateway holds of cascades: whatever the order of topics, within its bounds."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream.gateway.tables.cascades import CascadeTable
from tests.stream.gateway.conftest import PUBLISHED, forecast, outcome, snapshot


def take(table: CascadeTable, record: Any) -> None:
    kind = type(record).__name__.removeprefix("Cascade").removeprefix("Popularity").lower()
    getattr(table, f"take_{kind}")(record)


def test_topics_may_be_read_in_any_order() -> None:
    records = [
        forecast(),
        forecast(age=900.0, expected=150.0),
        snapshot(),
        snapshot(age=900.0, delays=(0, 1, 2, 3), parents=(-1, 0, 0, 0)),
        outcome(),
        outcome(age=14_400.0, count=180, final=True),
    ]
    answers = set()
    for order in itertools.permutations(records):
        if order.index(records[0]) > order.index(records[1]):
            continue  # of one topic and cascade: these come in order
        table = CascadeTable(10)
        for record in order:
            take(table, record)
        answers.add(msgspec.json.encode((table.cascade("c"), sorted(table.due.values(), key=str))))
    assert len(answers) == 1
    cascade, due = msgspec.json.decode(answers.pop())
    assert cascade["summary"]["closed"]
    assert (cascade["summary"]["age"], cascade["summary"]["count"]) == (14_400.0, 180)
    assert [one["age"] for one in cascade["forecasts"]] == [300.0, 900.0]
    assert cascade["curve"][-1] == [900.0, 4]
    assert [(d["horizon"], d["made_at_age"], d["realised"]) for d in due] == [
        (14_400.0, 900.0, 180),
        (3_600.0, 900.0, 120),
    ]


def test_a_repeated_forecast_is_one_and_what_comes_due_is_counted_once() -> None:
    table = CascadeTable(10)
    for _ in range(3):
        table.take_forecast(forecast())
        table.take_outcome(outcome(count=500))
    cascade = table.cascade("c")
    assert cascade is not None and len(cascade.forecasts) == 1
    assert (table.due_total, table.due_inside) == (1, 0)


def test_only_what_may_still_grow_is_live() -> None:
    table = CascadeTable(10)
    table.take_forecast(forecast("fresh", expected=200.0))
    table.take_forecast(forecast("closed"))
    table.take_outcome(outcome("closed", age=600.0, final=True))
    table.take_outcome(outcome("never-forecast"))
    live = table.ranked("growth", "live", "", "")
    assert [entry.cascade_id for entry in live] == ["fresh"]
    closed = table.ranked("growth", "closed", "", "")
    assert [entry.cascade_id for entry in closed] == ["closed"]
    assert len(table.ranked("growth", "all", "", "")) == 2
    table.take_forecast(forecast("later", observed_at=PUBLISHED + 5 * 3_600))
    assert [entry.cascade_id for entry in table.ranked("growth", "live", "", "")] == []


def test_it_is_an_archive_once_nothing_that_was_forecast_is_live() -> None:
    table = CascadeTable(10)
    assert not table.is_archive
    table.take_outcome(outcome("never-forecast"))
    assert not table.is_archive, "there is nothing to show"
    table.take_forecast(forecast("c"))
    assert not table.is_archive
    table.take_outcome(outcome("c", age=14_400.0, final=True))
    assert table.is_archive
    table.take_forecast(forecast("d", published_at=PUBLISHED + 1e6, observed_at=PUBLISHED + 1e6))
    assert not table.is_archive


def test_sorts_and_filters() -> None:
    table = CascadeTable(10)
    table.take_forecast(forecast("a", expected=30.0, viral_probability=0.9, observed_count=25))
    table.take_forecast(forecast("B", expected=90.0, viral_probability=0.1, age=200.0))
    for sort, first in (("growth", "B"), ("viral", "a"), ("count", "a"), ("recent", "a")):
        assert table.ranked(sort, "all", "", "")[0].cascade_id == first, sort
    assert [entry.cascade_id for entry in table.ranked("growth", "all", "b", "")] == ["B"]
    assert table.ranked("growth", "all", "", "seismic") == []


def test_the_bound_keeps_what_is_new_and_what_grows_most() -> None:
    table = CascadeTable(100)
    table.take_forecast(forecast("giant", age=60.0, expected=1e6))
    for i in range(1_000):
        table.take_outcome(outcome(f"small-{i}", age=400.0 + i))
        table.take_forecast(forecast(f"c{i}", age=301.0 + i, expected=100.0 + i))
        assert len(table) <= 100
    assert table.cascade("giant") is not None
    assert table.cascade("c999") is not None
    assert table.cascade("c1") is None


def test_what_is_kept_of_one_cascade_is_bounded() -> None:
    table = CascadeTable(10)
    for i in range(200):
        table.take_forecast(forecast(age=300.0 + i))
        table.take_outcome(outcome(age=3_600.0 + i))
    cascade = table.cascade("c")
    assert cascade is not None
    assert (len(cascade.forecasts), len(cascade.outcomes)) == (64, 16)
    assert cascade.forecasts[-1].age == 499.0


def test_a_snapshot_that_contradicts_itself_is_passed_over() -> None:
    table = CascadeTable(10)
    table.take_forecast(forecast())
    table.take_snapshot(msgspec.structs.replace(snapshot(), parent=b"1234"))
    cascade = table.cascade("c")
    assert cascade is not None and cascade.graph is None and cascade.curve == []


@given(st.lists(st.integers(1, 3_599), min_size=1, max_size=8, unique=True), st.integers(0, 7))
def test_what_is_held_against_an_outcome_had_as_much_ahead_as_behind(
    ages: list[int], before: int
) -> None:
    table = CascadeTable(10)
    for position, age in enumerate(ages):
        if position == before:
            table.take_outcome(outcome(count=120))
        table.take_forecast(forecast(age=float(age)))
    table.take_outcome(outcome(count=120))
    early = [age for age in ages if age <= 1_800]
    (due,) = table.due.values()
    assert due.made_at_age == (max(early) if early else min(ages))
    assert (table.due_total, table.due_inside) == (1, 1)
