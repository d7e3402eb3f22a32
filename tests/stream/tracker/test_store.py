"""The compiled cascade store against its slow reference, and the rules one by one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.checkpoints.content import decode, encode
from stream.settings import Settings, load
from stream.tracker.store import CascadeStore, Verdict
from tests.stream.cascade_reference import ReferenceStore
from topics.records import CascadeOutcome, CascadeSnapshot, SocialEvent

SMALL = load(
    environment={},
    growth_first=3,
    snapshot_ages="8,64",
    horizons="64,256",
    allowed_lateness="4",
    clock_skew="2",
    clock_witnesses=1,  # one event alone moves the clock; more of them: `test_event_clock`
    max_events=10,
    max_cascades=6,
)
NOW = 1_000_000.0


def event(
    cascade: str = "c",
    number: int = 0,
    at: float = 0.0,
    kind: str = "share",
    parent: str | None = None,
    parent_user: str | None = None,
    user: str | None = None,
) -> SocialEvent:
    return SocialEvent(
        cascade,
        f"{cascade}:{number}",
        user or f"u{number}",
        at,
        kind,
        parent,
        parent_user,  # type: ignore[arg-type]
    )


def ingest(
    store: CascadeStore, events: Sequence[SocialEvent], received: float = NOW
) -> tuple[list[str], list[CascadeSnapshot | CascadeOutcome]]:
    result = store.ingest(events, np.full(len(events), received))
    return [Verdict(v).name for v in result.verdicts], [fired.record for fired in result.fired]


def snapshots(records: Sequence[object]) -> list[CascadeSnapshot]:
    return [record for record in records if isinstance(record, CascadeSnapshot)]


@st.composite
def logs(draw: st.DrawFn, disorder: float = 12.0) -> list[SocialEvent]:
    """A few cascades, events out of order by up to `disorder` seconds, repeats, odd parents."""
    size = draw(st.integers(1, 80))
    clock, events = 100.0, []
    for number in range(size):
        clock += draw(st.sampled_from([0.0, 0.5, 3.0, 40.0]))
        if events and draw(st.integers(0, 9)) == 0:
            events.append(draw(st.sampled_from(events)))
            continue
        numbers = st.none() | st.integers(0, number + 1)
        parent, parent_user = draw(numbers), draw(numbers)
        cascade = f"c{draw(st.integers(0, 7))}"
        events.append(
            event(
                cascade,
                number,
                clock - draw(st.sampled_from([0.0, 0.25, 1.0])) * disorder,
                draw(st.sampled_from(["post", "share", "share", "view"])),
                None if parent is None else f"{cascade}:{parent}",
                None if parent_user is None else f"u{parent_user}",
                f"u{draw(st.integers(0, number))}",
            )
        )
    return events


@settings(max_examples=100, deadline=None)
@given(logs(), st.lists(st.integers(1, 40), min_size=1), st.integers(1, 3), st.integers(6, 90))
def test_the_kernel_answers_like_the_reference(
    log: list[SocialEvent], batch_sizes: list[int], witnesses: int, oldest: int
) -> None:
    small = SMALL.having(clock_witnesses=witnesses, max_lateness=oldest)
    reference, store = ReferenceStore(small), CascadeStore(small)
    received = np.array([NOW if i % 17 else 90.0 for i in range(len(log))])
    expected, expected_fired = [], []
    for i, one in enumerate(log):
        before = len(reference.fired)
        expected.append(reference.take(one, received[i]))
        expected_fired += [(record, i) for record in reference.fired[before:]]
    verdicts: list[str] = []
    fired = []
    position = 0
    while position < len(log):
        end = position + batch_sizes[position % len(batch_sizes)]
        result = store.ingest(log[position:end], received[position:end])
        verdicts += [Verdict(v).name for v in result.verdicts]
        fired += [(f.record, position + f.cause) for f in result.fired]
        position = end
    assert verdicts == expected
    # Timers of one moment fire in no stated order.
    assert sorted(fired, key=_identity_of) == sorted(expected_fired, key=_identity_of)
    assert store.live == len(reference.live)
    assert store.kept == sum(len(c.kept) for c in reference.live.values())
    assert store.watermark == reference.watermark


def _identity(record: CascadeSnapshot | CascadeOutcome) -> tuple[str, str]:
    if isinstance(record, CascadeSnapshot):
        return record.cascade_id, record.trigger
    return record.cascade_id, f"o{record.age}"


def _identity_of(caused: tuple[CascadeSnapshot | CascadeOutcome, int]) -> tuple[str, str]:
    return _identity(caused[0])


# The post of c1 is past its first age, as is the watermark by then for the sake of c0.
POST_PAST_THE_FIRST_AGE = [
    event("c1", 4, 100.0),
    event("c0", 23, 112.5, "post"),
    event("c1", 24, 111.5, "post"),
    event("c1", 59, 112.5, "post"),
]
POST_PAST_A_LATER_AGE = [
    *(event("c1", number, at) for number, at in enumerate([100.0, 100.0, 121.0])),
    event("c0", 15, 170.0, "post"),
    event("c1", 16, 166.0, "post"),
]


@settings(max_examples=100, deadline=None)
@given(logs(disorder=4.0))
@example(POST_PAST_THE_FIRST_AGE)
@example(POST_PAST_A_LATER_AGE)
def test_a_cascade_is_the_same_whoever_shares_its_partition(log: list[SocialEvent]) -> None:
    roomy = SMALL.having(max_cascades=100)
    together = CascadeStore(roomy)
    _, all_fired = ingest(together, log)
    all_fired += [fired.record for fired in together.advance(1e9)]
    for cascade in {e.cascade_id for e in log}:
        alone = CascadeStore(roomy)
        _, fired = ingest(alone, [e for e in log if e.cascade_id == cascade])
        fired += [f.record for f in alone.advance(1e9)]
        mine = [record for record in all_fired if record.cascade_id == cascade]
        assert sorted(fired, key=_identity) == sorted(mine, key=_identity)


def test_growth_triggers_at_once_with_what_has_arrived() -> None:
    store = CascadeStore(SMALL)
    log = [event(number=i, at=100.0 + i, kind="share" if i else "post") for i in range(7)]
    verdicts, fired = ingest(store, log)
    assert verdicts == ["ACCEPTED"] * 7
    assert [(s.trigger, s.observed_count, s.age) for s in snapshots(fired)] == [
        ("n3", 3, 2.0),
        ("n6", 6, 5.0),
    ]


def test_an_age_snapshot_waits_for_the_allowed_lateness_and_holds_what_came_within_it() -> None:
    store = CascadeStore(SMALL)
    log = [event(number=i, at=at) for i, at in enumerate([100, 101, 102, 110, 107])]
    _, fired = ingest(store, list(log))
    assert [s.trigger for s in snapshots(fired)] == ["n3"]
    _, fired = ingest(store, [event("other", at=112.0)])
    assert fired == [], "the watermark is at 108.0 and has not passed it"
    _, fired = ingest(store, [event("other", 1, at=112.5)])
    (snapshot,) = snapshots(fired)
    assert snapshot.trigger == "a8"
    assert snapshot.delays().tolist() == [0, 1, 2, 7]


def test_duplicates_count_once_also_past_the_bound() -> None:
    store = CascadeStore(SMALL)
    log = [event(number=i, at=100.0 + i / 10) for i in range(14)]
    verdicts, _ = ingest(store, [*log, log[2], log[13]])
    assert verdicts == ["ACCEPTED"] * 14 + ["DUPLICATE"] * 2


def test_past_the_bound_events_are_counted_by_delay() -> None:
    store = CascadeStore(SMALL)
    _, fired = ingest(store, [event(number=i, at=100.0 + i) for i in range(13)])
    snapshot = snapshots(fired)[-1]
    assert (snapshot.trigger, snapshot.observed_count, len(snapshot.delays())) == ("n12", 12, 10)
    assert snapshot.rest_counts().sum() == 2


def test_an_event_before_its_root_counts_and_the_root_sets_the_publication() -> None:
    store = CascadeStore(SMALL)
    _, fired = ingest(
        store,
        [
            event(number=1, at=103.0, parent="c:0"),
            event(number=0, at=100.0, kind="post"),
            event(number=2, at=104.0, parent="c:0"),
        ],
    )
    (snapshot,) = snapshots(fired)
    assert snapshot.rooted
    assert snapshot.published_at == 100.0
    assert snapshot.delays().tolist() == [0, 3, 4]
    # The root was not there when its first child came, so that child's parent stays unknown.
    assert snapshot.parents().tolist() == [-1, -2, 0]


@pytest.mark.parametrize(
    ("root_at", "rooted", "published_at"), [(108.0, True, 108.0), (108.5, False, 100.0)]
)
def test_a_post_past_the_first_age_is_not_taken_for_the_root(
    root_at: float, rooted: bool, published_at: float
) -> None:
    store = CascadeStore(SMALL)
    log = [
        event(number=1, at=100.0),
        event(number=0, at=root_at, kind="post"),
        event(number=2, at=109.0),
    ]
    (snapshot,) = snapshots(ingest(store, log)[1])
    assert (snapshot.rooted, snapshot.published_at) == (rooted, published_at)


def test_without_its_root_a_cascade_counts_from_its_earliest_event() -> None:
    store = CascadeStore(SMALL)
    _, fired = ingest(store, [event(number=i, at=at) for i, at in enumerate([103.0, 101.0, 104.0])])
    (snapshot,) = snapshots(fired)
    assert (snapshot.rooted, snapshot.published_at) == (False, 101.0)
    assert snapshot.delays().tolist() == [0, 2, 3]


def test_a_parent_is_found_by_event_then_by_the_first_event_of_the_user() -> None:
    store = CascadeStore(SMALL)
    log = [
        event(number=0, at=100.0, kind="post", user="ann"),
        event(number=1, at=101.0, parent_user="ann", user="bob"),
        event(number=2, at=102.0, parent="c:1", parent_user="ann", user="ann"),
        event(number=3, at=103.0, parent_user="ann"),
        event(number=4, at=104.0, parent="c:99", parent_user="bob"),
        event(number=5, at=105.0, parent_user="nobody"),
    ]
    _, fired = ingest(store, log)
    snapshot = snapshots(fired)[-1]
    assert snapshot.parents().tolist() == [-1, 0, 1, 0, 1, -2]
    assert snapshot.depths().tolist() == [0, 1, 2, 1, 2, 1]
    assert store.unknown_parents == 1


def test_impossible_times_are_refused_and_leave_the_cascade_alone() -> None:
    store = CascadeStore(SMALL)
    log = [
        event(number=0, at=100.0, kind="post"),
        event(number=1, at=97.0),
        event(number=2, at=99.0),
        event(number=3, at=NOW + 3),
        event(number=4, at=101.0),
    ]
    verdicts, fired = ingest(store, log)
    assert verdicts == ["ACCEPTED", "BEFORE_ROOT", "ACCEPTED", "IN_FUTURE", "ACCEPTED"]
    assert snapshots(fired)[0].delays().tolist() == [0, 0, 1]
    assert store.watermark == 97.0


def test_outcomes_come_at_the_horizons_and_the_last_closes_the_cascade() -> None:
    store = CascadeStore(SMALL)
    log = [event(number=i, at=at) for i, at in enumerate([100, 101, 102, 150, 170, 300])]
    _, fired = ingest(store, log)
    fired += [f.record for f in store.advance(1_000.0)]
    outcomes = [record for record in fired if isinstance(record, CascadeOutcome)]
    assert [(o.age, o.count, o.final) for o in outcomes] == [(64, 4, False), (256, 6, True)]
    assert store.live == 0
    assert store.kept == 0
    verdicts, _ = ingest(store, [event(number=9, at=1_000.0)])
    assert verdicts == ["CLOSED"]


def test_a_small_cascade_lies_dormant_until_it_wakes() -> None:
    store = CascadeStore(SMALL)
    _, fired = ingest(store, [event(number=0, at=100.0), event(number=1, at=101.0)])
    fired += [f.record for f in store.advance(9_000.0)]
    assert fired == []
    assert store.live == 1
    _, fired = ingest(store, [event(number=2, at=10_100.0)])
    (snapshot,) = snapshots(fired)
    assert (snapshot.trigger, snapshot.age, snapshot.observed_count) == ("n3", 10_000.0, 3)
    assert store.advance(10_356.0) == [], "it is followed for as long again"
    (fired_last,) = store.advance(10_357.0)
    assert fired_last.record == CascadeOutcome("c", 100.0, 10_256.0, 3, True)
    assert store.live == 0


def test_a_late_event_that_wakes_a_small_cascade_ends_it_with_an_outcome() -> None:
    store = CascadeStore(SMALL)
    ingest(store, [event(number=0, at=100.0), event(number=1, at=101.0)])
    store.advance(9_000.0)
    _, fired = ingest(store, [event(number=2, at=300.0)])
    snapshot, outcome = fired
    assert isinstance(snapshot, CascadeSnapshot)
    assert (snapshot.trigger, snapshot.age, snapshot.observed_count) == ("n3", 200.0, 3)
    assert outcome == CascadeOutcome("c", 100.0, 256.0, 3, True)
    assert store.live == 0


def test_too_many_cascades_close_the_one_idle_longest() -> None:
    store = CascadeStore(SMALL)
    log = [event(f"c{i}", at=100.0 + i / 10) for i in range(6)]
    ingest(store, [*log, event("c0", 1, at=101.0), event("c6", at=101.0)])
    assert store.live == 6
    assert store.evicted == 1
    assert "c0" in store.graph("c0").graph["cascade_id"]
    with pytest.raises(KeyError, match="c1"):
        store.graph("c1")


def test_the_graph_is_the_tree_of_the_cascade() -> None:
    store = CascadeStore(SMALL)
    log = [
        event(number=0, at=100.0, kind="post"),
        event(number=1, at=101.0, parent="c:0"),
        event(number=2, at=102.5, parent="c:1"),
        event(number=3, at=103.0, parent="c:77"),
    ]
    ingest(store, log)
    graph = store.graph("c")
    assert sorted(graph.edges) == [(0, 1), (1, 2)]
    assert nx.get_node_attributes(graph, "delay") == {0: 0.0, 1: 1.0, 2: 2.5, 3: 3.0}
    assert nx.get_node_attributes(graph, "depth") == {0: 0, 1: 1, 2: 2, 3: 1}
    ingest(store, [event(number=4, at=104.0)])
    assert len(store.graph("c")) == 5, "looking at a graph leaves the store as it was"


def test_what_fires_at_once_may_be_more_than_the_columns_hold() -> None:
    many = Settings().having(growth_first=3, max_events=64)
    store = CascadeStore(many)
    log = [event(f"c{i}", j, at=1_000.0 + j) for j in range(3) for i in range(5_000)]
    _, fired = ingest(store, log)
    assert len(snapshots(fired)) == 5_000
    later = store.advance(1e7)
    ids = {f.record.snapshot_id for f in later if isinstance(f.record, CascadeSnapshot)}
    assert len(ids) == 5_000 * len(many.snapshot_ages)
    assert store.live == 0


def test_memory_stays_within_its_bounds() -> None:
    events, cascades = 5, 40_000
    store = CascadeStore(Settings())
    before = store.bytes
    received = np.full(cascades, 1e9)
    for j in range(events):
        store.ingest([event(f"c{i}", j, at=1_000.0 + j) for i in range(cascades)], received)
    assert store.kept == events * cascades
    assert store.bytes - before < cascades * (400 - 80) + events * cascades * 64


def test_one_hot_cascade_stays_small() -> None:
    store = CascadeStore(Settings())
    sizes = []
    for start in range(0, 200_000, 20_000):
        log = [event("hot", start + j, at=1_000.0 + (start + j) / 1e3) for j in range(20_000)]
        ingest(store, log, received=1e9)
        sizes.append(store.bytes)
    assert sizes[-1] == sizes[1]
    assert all(a <= b for a, b in pairwise(sizes[:2]))


@settings(max_examples=100, deadline=None)
@given(logs(), st.data())
def test_restored_at_any_cut_it_answers_as_if_nothing_had_happened(
    log: list[SocialEvent], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=3)))
    undisturbed = CascadeStore(SMALL)
    expected = [ingest(undisturbed, part) for part in _cut(log, cuts)]
    store, found = CascadeStore(SMALL), []
    for part in _cut(log, cuts):
        content = b"".join(encode(store.save(), {}))
        store = CascadeStore(SMALL)
        store.restore(decode(content).arrays)
        found.append(ingest(store, part))
    assert found == expected
    assert store.advance(1e9) == undisturbed.advance(1e9)
    assert (store.live, store.kept, store.evicted) == (
        undisturbed.live, undisturbed.kept, undisturbed.evicted,
    )  # fmt: skip


def _cut(log: list[SocialEvent], cuts: list[int]) -> list[list[SocialEvent]]:
    return [log[start:end] for start, end in pairwise([0, *cuts, len(log)])]


def test_what_is_saved_stays_as_it_was() -> None:
    store = CascadeStore(SMALL)
    ingest(store, [event(number=i, at=100.0 + i) for i in range(4)])
    saved = store.save()
    before = b"".join(encode(saved, {}))
    ingest(store, [event(f"c{i % 9}", i, at=110.0 + 30 * i) for i in range(200)])
    assert b"".join(encode(saved, {})) == before
