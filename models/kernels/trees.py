"""Trees that LightGBM grew, evaluated by a compiled kernel without LightGBM.

It gives the very numbers that LightGBM gives, several times faster for one thread, and starts no
threads of its own: LightGBM's spin while they wait, which stalls a machine whose cores are shared.

The method is QuickScorer's (Lucchese et al., SIGIR 2015). A tree's leaves are bits, in order from
the left. Every node whose condition a row fails strikes out the leaves of its left branch; the
first leaf that is left is where the row falls. No step depends on the one before, so a block of
rows goes through the nodes in the processor's vector registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_LEAVES = 64
# Bits of LightGBM's decision type: a categorical split; zero stands for a missing value.
_CATEGORICAL = 1
_ZERO_IS_MISSING = 4
_BLOCK = 64
_ALL = np.uint64(2**64 - 1)
# A de Bruijn sequence: multiplied by a single bit, its top six bits tell which bit it was.
_SEQUENCE = np.uint64(0x03F79D71B4CB0A89)
_POSITIONS = np.zeros(64, np.int64)
for _bit in range(64):
    _POSITIONS[((int(_SEQUENCE) << _bit) & (2**64 - 1)) >> 58] = _bit


class Trees(NamedTuple):
    """Several models of trees, in one set of arrays.

    Attributes:
        models: trees of model m are those from `models[m]` to `models[m + 1]`, int64.
        nodes: nodes of tree t are those from `nodes[t]` to `nodes[t + 1]`, int64.
        features: column that a node splits on, int64, shape (nodes,).
        thresholds: a row with at most this goes left, float64, shape (nodes,).
        masks: the leaves that are not in the node's left branch, as bits, uint64, shape (nodes,).
        first_leaf: the first leaf of each tree, int64, shape (trees,).
        leaves: value of each leaf, from left to right, float64, shape (leaves,).
    """

    models: NDArray[np.int64]
    nodes: NDArray[np.int64]
    features: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    masks: NDArray[np.uint64]
    first_leaf: NDArray[np.int64]
    leaves: NDArray[np.float64]


def parse(texts: Sequence[str]) -> Trees:
    """The trees of models in LightGBM's text format, one model a text.

    Raises:
        ValueError: not such a text, splits that are not on finite numbers, or a tree of more than
            `MAX_LEAVES` leaves.
    """
    models, nodes, first_leaf = [0], [0], [0]
    features: list[int] = []
    thresholds: list[float] = []
    masks: list[int] = []
    leaves: list[float] = []
    for text in texts:
        body, found, _ = text.partition("\nend of trees")
        blocks = body.split("\nTree=")[1:]
        if not found or not blocks:
            raise ValueError("not a model in LightGBM's text format, or cut short")
        for block in blocks:
            tree = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            values = _numbers(tree, "leaf_value", float)
            if len(values) > MAX_LEAVES:
                raise ValueError(f"a tree has {len(values)} leaves; expected up to {MAX_LEAVES}")
            order = [0]
            if len(values) > 1:
                kinds = _numbers(tree, "decision_type", int)
                if any(kind & (_CATEGORICAL | _ZERO_IS_MISSING) for kind in kinds):
                    raise ValueError("a tree splits on categories or on zero as a missing value")
                struck, order = _left_branches(
                    _numbers(tree, "left_child", int), _numbers(tree, "right_child", int)
                )
                masks.extend(struck)
                features.extend(_numbers(tree, "split_feature", int))
                thresholds.extend(_numbers(tree, "threshold", float))
            leaves.extend(values[leaf] for leaf in order)
            nodes.append(len(masks))
            first_leaf.append(len(leaves))
        models.append(len(nodes) - 1)
    return Trees(
        models=np.array(models, np.int64),
        nodes=np.array(nodes, np.int64),
        features=np.array(features, np.int64),
        thresholds=np.array(thresholds, np.float64),
        masks=np.array(masks, np.uint64),
        first_leaf=np.array(first_leaf[:-1], np.int64),
        leaves=np.array(leaves, np.float64),
    )


def _numbers(tree: dict[str, str], name: str, kind: Any) -> list[Any]:
    if name not in tree:
        raise ValueError(f"a tree has no {name}")
    return list(map(kind, tree[name].split()))


def _left_branches(left: list[int], right: list[int]) -> tuple[list[int], list[int]]:
    """Each node's mask, and the leaves from left to right. A child below 0 is a leaf, ~index."""
    masks = [0] * len(left)
    order: list[int] = []

    def walk(child: int) -> None:
        if child < 0:
            order.append(~child)
            return
        first = len(order)
        walk(left[child])
        branch = (1 << len(order)) - (1 << first)
        masks[child] = int(_ALL) & ~branch
        walk(right[child])

    walk(0)
    return masks, order


@njit(cache=True, nogil=True)
def predict(trees: Trees, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of each model's trees for each row, shape (rows, models).

    Args:
        trees: from `parse`.
        rows: finite, shape (rows, columns).
    """
    out = np.zeros((len(rows), len(trees.models) - 1))
    block = np.empty((rows.shape[1], _BLOCK))
    alive = np.empty(_BLOCK, np.uint64)
    for start in range(0, len(rows), _BLOCK):
        width = min(len(rows) - start, _BLOCK)
        for row in range(width):
            for column in range(rows.shape[1]):
                block[column, row] = rows[start + row, column]
        for model in range(out.shape[1]):
            for tree in range(trees.models[model], trees.models[model + 1]):
                alive[:width] = _ALL
                for node in range(trees.nodes[tree], trees.nodes[tree + 1]):
                    values = block[trees.features[node]]
                    threshold = trees.thresholds[node]
                    mask = trees.masks[node]
                    for row in range(width):
                        alive[row] &= mask if values[row] > threshold else _ALL
                first = trees.first_leaf[tree]
                for row in range(width):
                    lowest = alive[row] & (~alive[row] + np.uint64(1))
                    leaf = _POSITIONS[(lowest * _SEQUENCE) >> np.uint64(58)]
                    out[start + row, model] += trees.leaves[first + leaf]
    return out
