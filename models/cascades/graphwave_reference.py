"""GraphWave by its definition, with networkx and a matrix exponential: slow, and exact.

`models.cascades.graphwave` is held to it, and measured against it.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from models.cascades.graphwave import EVENTS, LEAST_WEIGHT, POINTS, STEP, scales
from topics.records import CascadeSnapshot


def graph_of(snapshot: CascadeSnapshot) -> nx.Graph:
    """The users of the first events, joined by who answered whom."""
    users, parents = snapshot.users().tolist(), snapshot.parents()
    graph = nx.Graph()
    for event, (user, delay) in enumerate(zip(users[:EVENTS], snapshot.delays(), strict=False)):
        parent = users[parents[event]] if 0 <= parents[event] < event else users[0]
        share = float(delay) / snapshot.age if snapshot.age > 0 else 0.0
        weight = min(max(1 - share, LEAST_WEIGHT), 1.0)
        graph.add_node(user)
        if parent != user:
            known = graph.get_edge_data(user, parent, {"weight": 0.0})
            graph.add_edge(user, parent, weight=max(weight, known["weight"]))
    return graph


def reference(snapshot: CascadeSnapshot) -> NDArray[np.float64]:
    """The vectors of the first events, shape (events, `graphwave.WIDTH`)."""
    graph = graph_of(snapshot)
    laplacian = (
        nx.normalized_laplacian_matrix(graph).toarray() if graph.size() else np.zeros((1, 1))
    )
    points = STEP * np.arange(1, POINTS + 1)
    blocks = []
    for scale in scales(len(graph)):
        angles = points * expm(-scale * laplacian)[:, :, None]  # (node, other node, point)
        blocks += [np.cos(angles).mean(1), np.sin(angles).mean(1)]
    rows = dict(zip(graph, np.concatenate(blocks, 1), strict=True))
    return np.array([rows[user] for user in snapshot.users()[:EVENTS].tolist()])
