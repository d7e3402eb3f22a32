"""The graph of a cascade as an analyst gets it, and its summary that a person can read."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stream.gateway.tables.views import CascadeGraph, GraphNode

if TYPE_CHECKING:  # it takes half a second to import, before which no page would be served
    import networkx as nx

_ROOT = 0


def cascade_graph(delays: NDArray[np.float32], parents: NDArray[np.int32]) -> nx.DiGraph:
    """The tree of a snapshot's events, edges from parent to child.

    Args:
        delays: seconds since publication, shape (N,), ascending.
        parents: index of each event's parent, -1 for the root, -2 where it is not known.

    Returns:
        a graph whose nodes are the events' indices, each with `delay` and `known_parent`. An
        event whose parent is not known hangs on the root; where the root itself has not been
        seen the earliest event stands for it.
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_node(_ROOT, delay=float(delays[_ROOT]) if len(delays) else 0.0, known_parent=True)
    for index in range(1, len(delays)):
        parent = int(parents[index])
        known = 0 <= parent < index
        graph.add_node(index, delay=float(delays[index]), known_parent=known)
        graph.add_edge(parent if known else _ROOT, index)
    return graph


def summarise(graph: nx.DiGraph, total: int, age: float, limit: int) -> CascadeGraph:
    """The graph with at most `limit` nodes, at least 2.

    Events with the largest following have a node to themselves, and of those with none a share
    spread evenly over time; what else hangs on one of them is drawn as one node.

    Args:
        graph: of `cascade_graph`.
        total: events of the cascade at `age`; those past the snapshot's bound are in no graph.
    """
    import networkx as nx

    size = _following(graph)
    order = sorted(graph, key=lambda node: (-size[node], _spread(node)))

    def nodes_of(room: int) -> int:
        """Nodes drawn when the first `room` are kept; one more adds none, one or two."""
        kept = set(order[:room])
        return len(kept) + len({p for p, child in graph.edges if p in kept and child not in kept})

    kept = set(order[: bisect_right(range(1, limit + 1), limit, key=nodes_of)])
    depth = nx.single_source_shortest_path_length(graph, _ROOT)
    nodes = []
    left_out: dict[int, list[int]] = defaultdict(list)
    for node in sorted(graph):
        parent = next(graph.predecessors(node), None)
        if node in kept:
            about = graph.nodes[node]
            nodes.append(
                GraphNode(node, parent, about["delay"], depth[node], 1, about["known_parent"])
            )
        elif parent is not None and parent in kept:
            left_out[parent].append(node)
    for parent, children in left_out.items():
        delay = statistics.median(graph.nodes[child]["delay"] for child in children)
        events = sum(size[child] for child in children)
        bundle = len(graph) + parent  # an id that no event has
        nodes.append(GraphNode(bundle, parent, delay, depth[parent] + 1, events, True))
    return CascadeGraph(
        nodes, len(kept), len(graph), total, age, _words(len(kept), len(graph), total)
    )


def _spread(node: int) -> float:
    """Orders indices so that any first few of them lie evenly over all (golden ratio)."""
    return node * 0.6180339887 % 1.0


def _following(graph: nx.DiGraph) -> dict[int, int]:
    """Events in the subtree of each, itself included. A parent's index is below its child's."""
    size = dict.fromkeys(graph, 1)
    for node in sorted(graph, reverse=True):
        for parent in graph.predecessors(node):
            size[parent] += size[node]
    return size


def _words(shown: int, described: int, total: int) -> str:
    parts = []
    if shown < described:
        parts.append(
            f"{shown:,} of {described:,} events have a dot of their own, those with the largest "
            "following first; a ring stands for several that were passed on from the same event"
        )
    if described < total:
        parts.append(
            f"who passed on the last {total - described:,} of {total:,} events is not recorded"
        )
    return "; ".join(parts)
