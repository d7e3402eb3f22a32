"""No offset may be committed before all that comes before it is done."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stream.workers.publishing.ledger import OffsetLedger


class Worker(RuleBasedStateMachine):
    """Workers one after the other on one partition, each from where the last one committed.

    The reference is a set of every single offset that is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done: set[int] = set()
        self.committed = 0
        self.start_anew()

    def start_anew(self) -> None:
        self.ledger = OffsetLedger(self.committed)
        self.begun = self.committed
        self.open: dict[int, range] = {}  # stretches not acknowledged, by their end

    @rule(length=st.integers(1, 5))
    def begin(self, length: int) -> None:
        stretch = range(self.begun, self.begun + length)
        self.begun = stretch.stop
        self.open[stretch.stop] = stretch
        self.ledger.begin(stretch.stop)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        end = data.draw(st.sampled_from(sorted(self.open)))
        self.done.update(self.open.pop(end))
        self.ledger.done(end)

    @rule()
    def commit(self) -> None:
        assert self.ledger.committable >= self.committed, "it never goes back"
        self.committed = self.ledger.committable

    @rule(commit_arrived=st.booleans())
    def crash(self, commit_arrived: bool) -> None:
        """What was done beyond the committed offset is done again."""
        if commit_arrived:
            self.commit()
        self.start_anew()

    @invariant()
    def nothing_is_passed_over(self) -> None:
        assert self.done.issuperset(range(self.ledger.committable))
        assert self.done.issuperset(range(self.committed))

    @invariant()
    def nothing_is_held_back(self) -> None:
        waiting = [stretch.start for stretch in self.open.values()]
        assert self.ledger.committable == min(waiting, default=self.begun)


def test_no_offset_is_committed_before_every_earlier_one_is_done() -> None:
    run_state_machine_as_test(Worker)


def test_what_is_done_twice_or_begun_twice() -> None:
    ledger = OffsetLedger(10)
    ledger.begin(20)
    ledger.begin(25)
    ledger.done(25)
    ledger.done(25)
    assert ledger.committable == 10
    ledger.done(20)
    ledger.done(20)
    assert ledger.committable == 25
    with pytest.raises(ValueError, match="got 25; expected more than 25"):
        ledger.begin(25)
    with pytest.raises(ValueError, match="got 30; expected one of"):
        ledger.done(30)
