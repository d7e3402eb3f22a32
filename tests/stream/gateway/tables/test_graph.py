"""The cascade's graph, and what its summary keeps of it."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.gateway.tables.graph import cascade_graph, summarise


@st.composite
def trees(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Delays and parents of a cascade, some parents unknown, some as only a broken writer has."""
    size = draw(st.integers(1, 60))
    parents = [-1] + [draw(st.integers(-2, i + 1)) for i in range(1, size)]
    return np.arange(size, dtype=np.float32), np.array(parents, np.int32)


@given(trees(), st.integers(2, 70))
def test_a_summary_stands_for_every_event(tree: tuple[np.ndarray, np.ndarray], limit: int) -> None:
    graph = cascade_graph(*tree)
    assert nx.is_arborescence(graph)
    summary = summarise(graph, total=len(graph), age=100.0, limit=limit)
    assert len(summary.nodes) <= limit
    assert sum(node.events for node in summary.nodes) == len(graph)
    assert len({node.id for node in summary.nodes}) == len(summary.nodes)
    seen = set()
    for node in summary.nodes:
        assert node.parent in seen or (node.parent is None and node.id == 0)
        seen.add(node.id)
    assert bool(summary.note) == (summary.shown < len(graph))
    depths = nx.single_source_shortest_path_length(graph, 0)
    assert all(node.depth == depths[node.id] for node in summary.nodes if node.id in depths)


def test_those_with_the_largest_following_are_kept() -> None:
    # 0 <- 1 <- 2 <- 3, and 4..9 on the root.
    parents = np.array([-1, 0, 1, 2, 0, 0, 0, 0, 0, 0], np.int32)
    summary = summarise(cascade_graph(np.arange(10, dtype=np.float32), parents), 25, 60.0, 4)
    assert {node.id for node in summary.nodes if node.events == 1} == {0, 1}
    on_one, on_root = summary.nodes[2:]
    assert (on_root.parent, on_root.events, on_root.depth, on_root.delay) == (0, 6, 1, 6.5)
    assert (on_one.parent, on_one.events, on_one.depth, on_one.delay) == (1, 2, 2, 2.0)
    assert "2 of 10 events" in summary.note
    assert "the last 15 of 25 events is not recorded" in summary.note


def test_an_unknown_parent_hangs_on_the_root_and_says_so() -> None:
    delays, parents = np.array([0, 5], np.float32), np.array([-1, -2], np.int32)
    summary = summarise(cascade_graph(delays, parents), 2, 9.0, 10)
    assert [(n.parent, n.known_parent) for n in summary.nodes] == [(None, True), (0, False)]
