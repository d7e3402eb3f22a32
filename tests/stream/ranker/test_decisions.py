"""Decisions about one edge, followed by an edge that is slow and obvious."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.caches.decayed import DecayedCountRanker
from stream.ranker.decisions import MARGIN, EdgeDecisions
from stream.settings import Settings
from topics.catalogue import CACHE_DECISIONS, decision_key
from topics.records import CacheDecision, EdgeEpoch, EdgeWindow

LENGTH = 60.0
SETTINGS = Settings(window=LENGTH, cache_objects=3, decision_windows=4)


def window(epoch: int, names: list[str], part: int = 0, parts: int = 1) -> EdgeWindow:
    objects = list(dict.fromkeys(names))
    order = np.array([objects.index(name) for name in names], np.int32)
    return EdgeWindow(
        "lyon", epoch * LENGTH, LENGTH, part, parts, objects,
        np.bincount(order, minlength=len(objects)).astype("<i4").tobytes(),
        np.zeros(len(objects), "<i8").tobytes(), order.astype("<i4").tobytes(),
    )  # fmt: skip


def machine(settings: Settings = SETTINGS) -> EdgeDecisions:
    ranker = DecayedCountRanker(settings.cache_objects, settings.cache_share, settings.max_objects)
    return EdgeDecisions("lyon", ranker, settings)


class Edge:
    """A cache that follows `cache.decisions`, and an LRU cache beside it."""

    def __init__(self) -> None:
        self.table: dict[str, CacheDecision] = {}
        self.held: dict[str, int] = {}  # each object's last request
        self.last: dict[str, int] = {}  # the same of all objects
        self.lru: OrderedDict[str, None] = OrderedDict()
        self.clock = 0
        self.capacity = 1

    def serve(self, names: list[str], now: float) -> tuple[int, int]:
        """Hits of both caches."""
        hits = lru_hits = 0
        for name in names:
            self.clock += 1
            hits += name in self.held
            lru_hits += name in self.lru
            self.held[name] = self.last[name] = self.clock
            self.lru[name] = None
            self.lru.move_to_end(name)
            self.trim(now)
        return hits, lru_hits

    def trim(self, now: float) -> None:
        def priority(name: str) -> tuple[int, float]:
            decision = self.table.get(name)
            if decision is None or decision.expires_at <= now:
                return 0, self.held[name]
            return 1, decision.score

        while len(self.held) > self.capacity:
            del self.held[min(self.held, key=priority)]
        while len(self.lru) > self.capacity:
            self.lru.popitem(last=False)

    def follow(self, key: bytes, record: CacheDecision | EdgeEpoch | None) -> None:
        if isinstance(record, EdgeEpoch):
            self.capacity = record.capacity
        elif record is None:
            del self.table[msgspec.json.decode(key)[1]]
        else:
            assert key == decision_key(record.edge_id, record.object_id)
            self.table[record.object_id] = record
            if record.verdict == "prefetch":
                self.held.setdefault(record.object_id, self.last.get(record.object_id, 0))


names = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=25)
gaps = st.sampled_from([1, 1, 1, 2, 7])
histories = st.lists(st.tuples(gaps, names), min_size=1, max_size=12).map(
    lambda steps: [
        (int(epoch), content)
        for epoch, content in zip(
            np.cumsum([gap for gap, _ in steps]), [content for _, content in steps], strict=True
        )
    ]
)


@given(histories, st.sampled_from([0, 1, 3]))
def test_an_edge_that_follows_has_the_stated_hit_ratios(history, capacity: int) -> None:
    settings = dataclasses.replace(SETTINGS, cache_objects=capacity, cache_share=0.3)
    decisions, edge = machine(settings), Edge()
    edge.capacity = max(1, capacity)
    for epoch, content in history:
        start, end = epoch * LENGTH, (epoch + 1) * LENGTH
        hits, lru_hits = edge.serve(content, start)
        changes = decisions.step(window(epoch, content), 1.0)
        for change in changes:
            edge.follow(*change)
        edge.trim(end)
        closing = changes[-1].record
        assert isinstance(closing, EdgeEpoch)
        assert closing.requests == len(content)
        assert closing.hit_ratio == hits / len(content)
        assert closing.lru_hit_ratio == lru_hits / len(content)
        # What stands is the edge's whole table: as much as fits, and nothing of it about to expire.
        assert len(edge.table) == closing.admitted == min(closing.capacity, closing.objects)
        assert all(d.expires_at > end + LENGTH for d in edge.table.values())


@given(histories)
def test_what_is_in_force_are_the_highest_scores_but_for_the_margin(history) -> None:
    decisions, edge = machine(), Edge()
    ranker = DecayedCountRanker(SETTINGS.cache_objects)
    for epoch, content in history:
        ranker.step(window(epoch, content))
        for change in decisions.step(window(epoch, content), 1.0):
            edge.follow(*change)
        scores = dict(zip("abcdefghij", ranker.scores("abcdefghij"), strict=True))
        lowest = min(scores[name] for name in edge.table)
        assert all(scores[name] <= lowest + MARGIN for name in scores.keys() - edge.table.keys())
        for decision in edge.table.values():
            if decision.epoch == epoch:
                assert decision.score == scores[decision.object_id]


@given(histories, st.integers(1, 8))
def test_parts_repeats_and_restarts_change_nothing(history, cut: int) -> None:
    whole = machine()
    expected = [change for step in history for change in whole.step(window(*step), 1.0)]
    parts, changes = machine(), []
    for epoch, content in history:
        pieces = [content[i : i + cut] for i in range(0, len(content), cut)]
        for number, piece in enumerate(pieces):
            one = window(epoch, piece, number, len(pieces))
            answer = parts.step(one, 1.0)
            assert bool(answer) == (number == len(pieces) - 1)
            assert parts.step(one, 2.0) == []
            changes += answer
        assert parts.step(window(epoch, pieces[0], 0, len(pieces)), 2.0) == []
    assert changes == expected
    encoded = [CACHE_DECISIONS.codec.encode(c.record) for c in changes if c.record is not None]
    assert [CACHE_DECISIONS.codec.decode(value) for value in encoded] == [
        c.record for c in changes if c.record is not None
    ]


def test_a_decision_that_stands_is_sent_again_only_near_its_expiry() -> None:
    decisions = machine(dataclasses.replace(SETTINGS, cache_objects=1))
    sent = {}
    for epoch in range(10):
        changes = decisions.step(window(epoch, ["a"] * 5), 1.0)
        for _, record in changes[:-1]:
            sent[epoch] = record.expires_at / LENGTH
    # Each lasts for four windows after its own and is renewed with one of them left.
    assert sent == {0: 5.0, 3: 8.0, 6: 11.0, 9: 14.0}


def test_a_decision_is_void_from_the_moment_that_it_names() -> None:
    for epoch, hits in ((4, 0.0), (5, 0.5)):
        decisions = machine(dataclasses.replace(SETTINGS, cache_objects=1))
        (admitted, _) = decisions.step(window(0, ["a"] * 5), 1.0)
        assert admitted.record.expires_at == 5 * LENGTH
        # While it is in force nothing else is stored; where it is void the second is a hit.
        assert closing_hits(decisions, epoch, ["b", "b"]) == hits


def test_an_object_that_leaves_is_returned_to_the_default() -> None:
    decisions = machine(dataclasses.replace(SETTINGS, cache_objects=1))
    (admitted, _) = decisions.step(window(0, ["a"] * 5), 1.0)
    assert admitted.record.reason == "rate 5 per window, rank 1 of 1"
    changes = decisions.step(window(1, ["b"] * 50), 1.0)
    assert changes[0] == (decision_key("lyon", "a"), None)
    assert changes[1].record.object_id == "b"
    assert changes[1].record.reason.endswith("rank 1 of 2")
    assert changes[2].record.admitted == 1


def test_objects_about_equal_do_not_change_places() -> None:
    decisions = machine(dataclasses.replace(SETTINGS, cache_objects=1))
    decisions.step(window(0, ["a", "b"] * 200), 1.0)
    changes = []
    for epoch in range(1, 12):
        order = ["a", "b"] if epoch % 2 else ["b", "a"]
        changes += decisions.step(window(epoch, order * 10), 1.0)
    assert not [key for key, record in changes if record is None]


def test_a_window_without_its_last_part_is_never_closed() -> None:
    decisions = machine()
    assert decisions.step(window(0, ["a"] * 3, 0, 2), 1.0) == []
    closing = decisions.step(window(1, ["a"]), 1.0)[-1].record
    assert (closing.epoch, closing.requests, closing.hit_ratio) == (1, 1, 1.0)


def test_a_ranker_that_gains_nothing_stands_down_and_comes_back() -> None:
    decisions = machine(dataclasses.replace(SETTINGS, cache_objects=10, max_objects=10_000))
    edge, states = Edge(), []
    popular = [[f"{i % 10}" for i in range(400)] for _ in range(3)]
    # Objects in pairs of requests: LRU answers every second one, old counts are in the way.
    pairs = [[f"{e}-{i // 2}" for i in range(400)] for e in range(30)]
    back = [[f"{i % 12}" for i in range(400)] for _ in range(60)]
    for epoch, content in enumerate(popular + pairs + back):
        for change in decisions.step(window(epoch, content), 1.0):
            edge.follow(*change)
            if isinstance(change.record, EdgeEpoch):
                states.append(change.record.standing_down)
                assert change.record.admitted == len(edge.table)
                assert not (change.record.standing_down and edge.table)
    down = states.index(True)
    assert 3 < down < 33
    assert not states[-1] and len(edge.table) == 10
    # It does not go up and down.
    assert np.count_nonzero(np.diff(states)) == 2


def test_the_objects_known_are_bounded() -> None:
    decisions = machine(dataclasses.replace(SETTINGS, max_objects=16, cache_objects=2))
    edge = Edge()
    for epoch in range(20):
        content = ["x", "y"] * 4 + [f"{epoch}-{i}" for i in range(5)]
        for change in decisions.step(window(epoch, content), 1.0):
            edge.follow(*change)
            if isinstance(change.record, EdgeEpoch):
                assert change.record.objects <= 16 + 5
    assert edge.table.keys() == {"x", "y"}
    assert closing_hits(decisions, 20, ["x", "y"]) == 1.0


def closing_hits(decisions: EdgeDecisions, epoch: int, content: list[str]) -> float:
    closing = decisions.step(window(epoch, content), 1.0)[-1].record
    assert isinstance(closing, EdgeEpoch)
    return closing.hit_ratio
