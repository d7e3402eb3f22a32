"""The table of an edge, and a reader that follows it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.edge.table import EdgeTable
from stream.settings import Settings
from tests.stream.edge.records import LENGTH, decision, epoch

SETTINGS = Settings(edge="lyon", edge_decisions=4, edge_changes=2)


def fresh_table(settings: Settings = SETTINGS) -> EdgeTable:
    """A table that is complete, at epoch 0, wall clock 1000."""
    table = EdgeTable(settings, life="a")
    table.complete = True
    table.close(epoch(0, 1000.0), 1000.0)
    return table


class Reader:
    """Follows a table by its pages, and knows nothing else."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.cursor = ""
        self.resets = 0

    def read(self, table: EdgeTable, wall: float) -> bool:
        """Takes in one page; whether there is more."""
        page = table.page(self.cursor, wall)
        assert len(page.changes) <= SETTINGS.edge_changes
        if page.reset:
            self.held.clear()
            self.resets += 1
        for change in page.changes:
            if change.verdict is None:
                self.held.pop(change.object_id, None)
            else:
                self.held[change.object_id] = change.verdict
        self.cursor = page.cursor
        return page.more


names = st.sampled_from("abcdefgh")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), names, st.integers(1, 12)),
        st.tuples(st.just("withdraw"), names),
        st.tuples(st.just("close"), st.integers(1, 3)),
        st.tuples(st.just("read")),
    ),
    max_size=60,
)


@given(steps)
def test_a_reader_that_catches_up_holds_what_is_in_force(script: list[Any]) -> None:
    table, reader, number = fresh_table(), Reader(), 0
    verdicts: dict[str, tuple[str, float]] = {}  # the slow way: verdict and expiry of each
    for position, (what, *of) in enumerate(script):
        now = (number + 1) * LENGTH
        if what == "decide":
            verdict = "admit" if position % 2 else "prefetch"
            expires_at = now + of[1] * LENGTH
            if of[0] in verdicts or len(verdicts) < SETTINGS.edge_decisions:
                verdicts[of[0]] = verdict, expires_at
            table.decide(decision(of[0], expires_at, verdict=verdict))  # type: ignore[arg-type]
        elif what == "withdraw":
            verdicts.pop(of[0], None)
            table.withdraw(of[0])
        elif what == "close":
            number += of[0]
            now = (number + 1) * LENGTH
            verdicts = {name: kept for name, kept in verdicts.items() if kept[1] > now}
            table.close(epoch(number, 1000.0), 1000.0)
        else:
            reader.read(table, 1000.0)
    rounds = 0
    while reader.read(table, 1000.0):
        rounds += 1
        assert rounds < 20, "a reader never gets to the end"
    assert reader.held == {name: verdict for name, (verdict, _) in verdicts.items()}
    assert not table.is_news(reader.cursor)
    for name in "abcdefgh":
        held = table.look_up(name, 1000.0)
        assert (held and held.verdict) == reader.held.get(name)


def test_a_reader_that_keeps_up_is_reset_once_and_one_that_fell_behind_again() -> None:
    table, reader, behind = fresh_table(), Reader(), Reader()
    table.decide(decision("a"))
    for one in (reader, behind):
        one.read(table, 1000.0)
    for number in range(SETTINGS.edge_decisions + 1):
        table.decide(decision(f"x{number}"))
        table.withdraw(f"x{number}")
        reader.read(table, 1000.0)
    behind.read(table, 1000.0)
    assert (reader.resets, behind.resets) == (1, 2)
    assert reader.held == behind.held == {"a": "admit"}


@pytest.mark.parametrize("cursor", ["", "b.1", "a.99", "a.x", "a.1.0", "a.1.2.3", "a.-1", "a"])
def test_a_cursor_of_no_use_starts_from_nothing(cursor: str) -> None:
    table = fresh_table()
    table.decide(decision("a"))
    assert table.page(cursor, 1000.0).reset


def test_decisions_beyond_the_bound_are_dropped_and_counted_and_renewals_are_not() -> None:
    table = fresh_table()
    for name in "abcdef":
        table.decide(decision(name))
    table.decide(decision("a", verdict="prefetch"))
    assert len(table) == SETTINGS.edge_decisions and table.dropped == 2
    renewed = table.look_up("a", 1000.0)
    assert renewed is not None and renewed.verdict == "prefetch"
    assert table.look_up("f", 1000.0) is None


def test_a_decision_is_void_from_its_expiry_on_epoch_or_not() -> None:
    table = fresh_table()
    table.decide(decision("a", expires_at=LENGTH + 5))
    assert table.look_up("a", 1004.9) is not None
    assert table.look_up("a", 1005.0) is None
    assert table.expire(1005.0) and len(table) == 0
    assert not table.expire(1006.0)


def test_decisions_are_obeyed_while_complete_in_force_and_fresh() -> None:
    settings = SETTINGS.having(edge_stale_after=100.0, edge_lease=15.0)
    table = EdgeTable(settings, life="a")
    table.decide(decision("a"))
    assert not table.obeying(1000.0) and table.lease(1000.0) == 0
    table.close(epoch(0, 1000.0), 1000.0)
    assert not table.obeying(1000.0), "there may be more to read"
    table.complete = True
    assert table.obeying(1099.9)
    assert table.lease(1050.0) == 15 and table.lease(1095.0) == pytest.approx(5)
    assert not table.obeying(1100.0), "stale"
    table.close(epoch(1, 1100.0), 1100.0)
    assert table.obeying(1100.0)
    table.withdraw("a")
    assert not table.obeying(1100.0), "nothing is in force, so everything takes the default"


def test_what_another_log_has_told_is_forgotten_and_every_reader_hears_it() -> None:
    table, reader = fresh_table(), Reader()
    for name in "abcd":
        table.decide(decision(name))
    table.close(epoch(9, 1000.0), 1000.0)
    while reader.read(table, 1000.0):
        pass
    assert len(reader.held) == 4
    table.begin_anew()
    assert not table.obeying(1000.0) and len(table) == 0
    while reader.read(table, 1000.0):
        pass
    assert not reader.held
    table.decide(decision("e"))
    assert table.close(epoch(2, 1001.0), 1001.0), "earlier than what the old log told, and news"
    assert not table.obeying(1001.0), "there may be more to read"
    table.complete = True
    assert table.obeying(1001.0) and table.clock.epoch == 2
    assert not reader.read(table, 1001.0) and reader.held == {"e": "admit"}


def test_the_burst_is_a_multiple_of_the_least_that_is_kept() -> None:
    table = fresh_table(SETTINGS.having(edge_burst=3.0))
    table.decide(decision("a", score=math.log(50)))
    table.decide(decision("b", score=math.log(20)))
    table.close(epoch(1, 1000.0), 1000.0)
    assert table.burst == 60
    table.decide(decision("b", score=math.log(0.2)))
    table.close(epoch(2, 1000.0), 1000.0)
    assert table.burst == 8, "what may be chance is not a burst"
    never = fresh_table(SETTINGS.having(edge_burst=0.0))
    never.decide(decision("a"))
    never.close(epoch(1, 1000.0), 1000.0)
    assert never.burst == 0
