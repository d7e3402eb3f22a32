"""Windows of requests against a slow, obvious store of lists."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.checkpoints.content import decode, encode
from stream.historian.histories import EdgeHistories, Verdict
from stream.settings import Settings
from topics.catalogue import EDGE_WINDOWS
from topics.records import EdgeRequest, EdgeWindow

LENGTH, LATENESS, SKEW = 10.0, 4.0, 6.0
# One request alone moves the clock here; `test_event_clock` has how it is moved by several.
SETTINGS = Settings(window=LENGTH, allowed_lateness=LATENESS, clock_skew=SKEW, clock_witnesses=1)

requests = st.lists(
    st.builds(
        EdgeRequest,
        edge_id=st.sampled_from(["lyon", "oslo", "åbo"]),
        object_id=st.sampled_from(["a", "b", "c", "d", "e"]),
        timestamp=st.integers(0, 240).map(lambda quarter: quarter / 4),
        size=st.sampled_from([None, 0, 5, 7]),
        hit=st.sampled_from([None, True, False]),
    ),
    max_size=60,
)
LATER = 1e9  # a Kafka timestamp at which nothing is in the future


def ingest(histories: EdgeHistories, batch: list[EdgeRequest], received=LATER):
    return histories.ingest(batch, np.broadcast_to(np.float64(received), len(batch)))


class SlowHistories:
    """One request at a time, lists of requests for each edge and window."""

    def __init__(self) -> None:
        self.open: dict[tuple[int, str], list[EdgeRequest]] = {}
        self.latest = 0.0
        self.closed: list[tuple[int, str, list[EdgeRequest]]] = []

    def first_open(self) -> int:
        return int((self.latest - LATENESS) // LENGTH)

    def ingest_one(self, request: EdgeRequest) -> None:
        number = max(int(request.timestamp // LENGTH), self.first_open())
        self.open.setdefault((number, request.edge_id), []).append(request)
        self.latest = max(self.latest, request.timestamp)
        for key in sorted(key for key in self.open if key[0] < self.first_open()):
            self.closed.append((*key, self.open.pop(key)))


def describe(window: EdgeWindow) -> tuple:
    """A window in the reference's terms: per request, its object; sizes and hits."""
    names = [window.objects[i] for i in window.requests()]
    assert Counter(names) == dict(zip(window.objects, window.counts().tolist(), strict=True))
    assert list(dict.fromkeys(names)) == window.objects
    sizes = dict(zip(window.objects, window.sizes().tolist(), strict=True))
    return window.epoch, window.edge_id, names, sizes, window.reported, window.reported_hits


def expected(number: int, edge: str, content: list[EdgeRequest]) -> tuple:
    sizes = {request.object_id: 0 for request in content}
    sizes |= {request.object_id: request.size for request in content if request.size}
    flags = [request.hit for request in content if request.hit is not None]
    return number, edge, [r.object_id for r in content], sizes, len(flags), sum(flags)


@given(requests)
def test_windows_are_those_of_the_reference(batch: list[EdgeRequest]) -> None:
    slow = SlowHistories()
    causes = []
    for position, request in enumerate(batch):
        slow.ingest_one(request)
        causes += [position] * (len(slow.closed) - len(causes))
    verdicts, closed = ingest(EdgeHistories(SETTINGS), batch)
    assert [describe(window) for window, _ in closed] == [expected(*c) for c in slow.closed]
    assert [cause for _, cause in closed] == causes
    assert set(verdicts.tolist()) <= {Verdict.ACCEPTED, Verdict.LATE}


@given(requests, st.lists(st.integers(1, 9), min_size=1), st.booleans(), st.sampled_from([2, 900]))
def test_batch_boundaries_do_not_matter(batch, lengths, idle: bool, most: int) -> None:
    settings = replace(
        SETTINGS, idle_advance=5.0 if idle else 0.0, max_objects=3, max_window_requests=most
    )
    received = np.arange(len(batch)) * 1.5
    whole = EdgeHistories(settings).ingest(batch, received)
    pieces = EdgeHistories(settings)
    verdicts, closed, start = [], [], 0
    for length in lengths * len(batch):
        piece = pieces.ingest(batch[start : start + length], received[start : start + length])
        verdicts += piece.verdicts.tolist()
        closed += [(window, start + cause) for window, cause in piece.closed]
        start += length
        if start >= len(batch):
            break
    assert verdicts == whole.verdicts.tolist()
    assert closed == whole.closed


@given(requests)
def test_partitions_do_not_matter_within_the_allowed_lateness(batch: list[EdgeRequest]) -> None:
    batch = sorted(batch, key=lambda r: r.timestamp + (LATENESS if r.object_id < "c" else 0))
    end = EdgeRequest("zulu", "end", 1_000.0)
    together = ingest(EdgeHistories(SETTINGS), [*batch, end]).closed
    apart = []
    for edge in ("lyon", "oslo", "åbo"):
        own = [request for request in batch if request.edge_id == edge]
        apart += ingest(EdgeHistories(SETTINGS), [*own, end]).closed
    assert sorted(describe(w) for w, _ in together) == sorted(describe(w) for w, _ in apart)


def test_a_late_request_counts_in_the_first_open_window() -> None:
    histories = EdgeHistories(SETTINGS)
    ingest(histories, [EdgeRequest("lyon", "a", 3.0)])
    published = ingest(histories, [EdgeRequest("lyon", "b", 27.0)]).closed
    assert [describe(window)[:3] for window, _ in published] == [(0, "lyon", ["a"])]
    late = ingest(histories, [EdgeRequest("lyon", "late", 4.0)])
    assert late.verdicts.tolist() == [Verdict.LATE]
    assert late.closed == []
    after = ingest(histories, [EdgeRequest("lyon", "z", 60.0)]).closed
    # The watermark was 23: window 1 had ended, window 2 was the first open one.
    assert [describe(window)[:3] for window, _ in after] == [(2, "lyon", ["b", "late"])]


def test_a_request_from_the_future_is_refused_and_moves_no_clock() -> None:
    histories = EdgeHistories(SETTINGS)
    batch = [EdgeRequest("lyon", "a", 3.0), EdgeRequest("lyon", "b", 1e9)]
    batch.append(EdgeRequest("lyon", "c", 9.0))
    verdicts, closed = ingest(histories, batch, received=3.0)
    assert verdicts.tolist() == [Verdict.ACCEPTED, Verdict.IN_FUTURE, Verdict.ACCEPTED]
    assert closed == []
    assert histories.watermark == 9.0 - LATENESS


def test_an_idle_partition_waits_unless_it_may_follow_the_wall_clock() -> None:
    batch = [EdgeRequest("lyon", "a", 3.0)]
    waiting = EdgeHistories(SETTINGS)
    ingest(waiting, batch, received=3.0)
    assert waiting.advance(1e6) == []
    assert waiting.open_windows == 1
    following = EdgeHistories(replace(SETTINGS, idle_advance=5.0))
    ingest(following, batch, received=3.0)
    assert following.advance(10.0 + LATENESS + 4.9) == []
    (window,) = following.advance(10.0 + LATENESS + 5.0)
    assert describe(window)[:3] == (0, "lyon", ["a"])
    # A worker that rebuilds from the log closes the same window at the next request.
    rebuilt = EdgeHistories(replace(SETTINGS, idle_advance=5.0))
    ingest(rebuilt, batch, received=3.0)
    late = ingest(rebuilt, [EdgeRequest("lyon", "b", 8.0)], received=30.0)
    assert [closed for closed, _ in late.closed] == [window]


def test_what_is_beyond_a_bound_is_dropped_and_said() -> None:
    names = ["a", "b", "a", "c", "d", "a", "b"]
    batch = [EdgeRequest("lyon", name, 1.0) for name in names]
    batch += [EdgeRequest("oslo", "e", 2.0), EdgeRequest("oslo", "a", 2.0)]
    end = [EdgeRequest("oslo", "f", 90.0)]
    for bound, kept in (
        ({"max_objects": 2}, ["a", "b", "a", None, None, "a", "b", "e", "a"]),
        ({"max_window_objects": 3}, ["a", "b", "a", "c", None, "a", "b", None, None]),
        ({"max_window_requests": 5}, ["a", "b", "a", "c", "d", None, None, None, None]),
    ):
        verdicts, closed = ingest(EdgeHistories(replace(SETTINGS, **bound)), batch + end)
        dropped = [verdict == Verdict.DROPPED for verdict in verdicts[:-1]]
        assert dropped == [name is None for name in kept]
        published = [name for window, _ in closed for name in describe(window)[2]]
        assert published == [name for name in kept if name]


def test_a_long_id_takes_the_room_of_several_objects() -> None:
    signed = "/v?" + "s" * 2_045
    names = [signed, "a", signed, "b" * 256, "c" * 257, "d", "e"]
    batch = [EdgeRequest("lyon", name, 1.0) for name in names]
    end = [EdgeRequest("lyon", "f", 90.0)]
    verdicts, closed = ingest(
        EdgeHistories(replace(SETTINGS, max_window_objects=8 + 1 + 1 + 1)), batch + end
    )
    assert closed[0][0].objects == [signed, "a", "b" * 256, "d"]
    assert [verdict == Verdict.DROPPED for verdict in verdicts] == [0, 0, 0, 0, 1, 0, 1, 0]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=400), st.integers(1_000, 4_000))
@example([0, 1, 2, 10, 27, 36, 37, 38, 39, 40], 1_000)
def test_large_windows_are_cut_in_order_of_requests(order: list[int], limit: int) -> None:
    batch = [
        EdgeRequest("lyon", f"object-{i}" + "é" * i, 1.0, size=i, hit=i % 2 == 0) for i in order
    ]
    _, closed = ingest(
        EdgeHistories(replace(SETTINGS, message_bytes=limit)),
        [*batch, EdgeRequest("lyon", "end", 90.0)],
    )
    windows = [window for window, _ in closed]
    assert [window.part for window in windows] == list(range(len(windows)))
    assert {window.parts for window in windows} == {len(windows)}
    described = [describe(window) for window in windows]
    assert [name for d in described for name in d[2]] == [r.object_id for r in batch]
    assert sum(d[4] for d in described) == len(batch)
    assert sum(d[5] for d in described) == sum(bool(r.hit) for r in batch)
    for d in described:
        assert all(size == int(name[7:].rstrip("é")) for name, size in d[3].items())
    encoded = [EDGE_WINDOWS.codec.encode(window) for window in windows]
    assert max(map(len, encoded)) <= limit
    # Nothing is cut that would have fitted, but for what the writer's estimate leaves free: its
    # allowance for the fields, and up to 3 bytes an object.
    if len(windows) > 1:
        allowance = 256 + 2 * len("lyon") + 3 * len(set(order))
        assert sum(map(len, encoded)) + allowance > limit


def test_a_part_holds_one_request_at_least() -> None:
    batch = [EdgeRequest("lyon", "a" * 200, 1.0), EdgeRequest("lyon", "b" * 200, 1.0)]
    settings = replace(SETTINGS, message_bytes=300)
    _, closed = ingest(EdgeHistories(settings), [*batch, EdgeRequest("lyon", "end", 90.0)])
    assert [len(window.objects) for window, _ in closed] == [1, 1]


def test_no_requests_close_nothing() -> None:
    assert ingest(EdgeHistories(SETTINGS), []) == (pytest.approx([]), [])


def test_windows_survive_their_codec() -> None:
    batch = [EdgeRequest("lyon", "a", 1.0, size=3, hit=True), EdgeRequest("lyon", "end", 90.0)]
    ((window, _),) = ingest(EdgeHistories(SETTINGS), batch).closed
    assert EDGE_WINDOWS.codec.decode(EDGE_WINDOWS.codec.encode(window)) == window
    assert msgspec.structs.asdict(window)["start"] == 0.0


@given(requests, st.data())
def test_restored_at_any_cut_they_answer_as_if_nothing_had_happened(
    batch: list[EdgeRequest], data: st.DataObject
) -> None:
    bounded = replace(SETTINGS, max_objects=3, max_window_requests=20)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(batch)), max_size=3)))
    histories = EdgeHistories(bounded)
    undisturbed = EdgeHistories(bounded)
    for start, end in pairwise([0, *cuts, len(batch)]):
        content = b"".join(encode(histories.save(), {}))
        histories = EdgeHistories(bounded)
        histories.restore(decode(content).arrays)
        expected = ingest(undisturbed, batch[start:end])
        found = ingest(histories, batch[start:end])
        assert found.verdicts.tolist() == expected.verdicts.tolist()
        assert found.closed == expected.closed
    last = [EdgeRequest("last", "one", 1e6)]
    assert ingest(histories, last).closed == ingest(undisturbed, last).closed


def test_what_is_saved_stays_as_it_was() -> None:
    histories = EdgeHistories(SETTINGS)
    ingest(histories, [EdgeRequest("oslo", "a", 100.0, 5), EdgeRequest("oslo", "b", 101.0)])
    saved = histories.save()
    before = b"".join(encode(saved, {}))
    ingest(histories, [EdgeRequest("oslo", name, 102.0, 9) for name in "abcdef"])
    ingest(histories, [EdgeRequest("oslo", "a", 900.0)])
    assert b"".join(encode(saved, {})) == before
