"""GraphWave: what place each event's user has in the graph of a cascade, as 40 numbers.

A unit of heat is put on a node and spreads over the graph for a while; the wavelet of the node is
what then lies on each node. Where the heat lies depends on how nodes are numbered, how unevenly it
lies does not: so the node is described by the characteristic function of its wavelet's values
(Donnat et al., Learning structural node embeddings via diffusion wavelets, KDD 2018, section 3).

The graph is that of ConCat (arXiv 2409.16623): the users of the first `EVENTS` events, joined by
who answered whom. An edge weighs 1 - t / t_o, t the delay of the event that made it and t_o the
age of the snapshot, so that a graph also tells early from late.

| case | what happens |
|---|---|
| a parent that is not known, or not an earlier event | the event hangs on the root |
| a user with several events | one node; its events have the same vector |
| a user who answers themselves | no edge |
| the same two users again, either way | one edge; the largest weight, that of the earliest event |
| a delay at the age, or past it by rounding | weight `LEAST_WEIGHT`, so that no edge vanishes |
| age 0 | every weight is 1 |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from models.cascades.batch import Batch, gather
from topics.records import CascadeSnapshot

EVENTS = 100  # ConCat's; enough to tell the shape, and the cost grows with the square
POINTS = 10
SCALES = 2
WIDTH = SCALES * 2 * POINTS
# ConCat spreads its ten points from 0 to 100. At 0 every characteristic function is 1, so these
# begin a step later; being multiples of one step is what makes them cheap.
STEP = 10.0
# Heat left, of what is on the eigenvector at the geometric mean of the spectrum's bounds, after the
# shorter and the longer scale. The paper's rule; the figures are those of its released code.
HEAT_LEFT = (0.95, 0.80)
ORDER = 30  # the released code's; terms that change nothing are left out, see `_series`
LEAST_WEIGHT = 1e-3

# Terms of the Chebyshev series that float32 cannot see in a sum of about 1: all past the tenth in
# a graph of 100 nodes, past the sixth in one of two.
_NEGLIGIBLE = 2.0**-28
# Rows are padded to a multiple of this, or what is left of a vector would go one by one.
_LANES = 16

_HALF, _ONE, _TWO, _PI = np.float32(0.5), np.float32(1.0), np.float32(2.0), np.float32(math.pi)
_TURNS = np.float32(STEP / (2 * math.pi))
_S3, _S5, _S7, _S9, _S11 = (np.float32((-1) ** k / math.factorial(2 * k + 1)) for k in range(1, 6))
_C2, _C4, _C6, _C8, _C10, _C12 = (
    np.float32((-1) ** k / math.factorial(2 * k)) for k in range(1, 7)
)


def scales(nodes: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """For how long heat spreads in a graph of that many nodes, shape (SCALES, *nodes.shape).

    The paper's rule, s = -log(heat left) / sqrt(lambda_2 lambda_N), with bounds in place of the
    eigenvalues of the normalised Laplacian, as in its released code: 1 / nodes and 2.
    """
    return np.multiply.outer(-np.log(HEAT_LEFT), np.sqrt(np.asarray(nodes) / 2))


def _series() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Chebyshev series of exp(-s (1 + x)), x in [-1, 1], for graphs of 0 to EVENTS nodes.

    Returns:
        Coefficients, shape (EVENTS + 1, SCALES, ORDER + 1), and the order of the last one worth
        its cost, shape (EVENTS + 1,).
    """
    s = scales(np.arange(EVENTS + 1)).T
    nodes = chebyshev.chebpts1(ORDER + 1)
    values = np.exp(-s[..., None] * (1 + nodes))
    coefficients = values @ chebyshev.chebvander(nodes, ORDER) * (2 / (ORDER + 1))
    coefficients[..., 0] /= 2
    worth = np.abs(coefficients).max(1) > _NEGLIGIBLE
    return coefficients.astype(np.float32), ORDER - np.argmax(worth[:, ::-1], axis=1)


_COEFFICIENTS, _ORDERS = _series()


class StructureVectors(NamedTuple):
    """The GraphWave vectors of a batch's events, one snapshot after the other.

    Attributes:
        offsets: the vectors of snapshot i are those from `offsets[i]` to `offsets[i + 1]`, one
            for each of its first min(events, EVENTS) events, int64, shape (snapshots + 1,).
        vectors: mean over the nodes of cos(p w) and of sin(p w), w what lies there of the heat of
            the event's user and p = STEP, 2 STEP, ..., POINTS STEP, float32, shape
            (offsets[-1], WIDTH). Columns: cosines of the shorter scale by p, its sines, cosines
            of the longer scale, its sines.
    """

    offsets: NDArray[np.int64]
    vectors: NDArray[np.float32]


class _Room(NamedTuple):
    """Room for the graph at hand, enough for the largest of a batch.

    Attributes:
        table: of the users met, at least twice the events, int64.
        node_of: node of each event, int64, shape (events,).
        edges: the two nodes of each edge, int64, shape (events, 2).
        weights: of edges, float64, shape (events,).
        degrees: sum of the weights at each node, float64, shape (events,).
        starts: row i of the matrix has its entries from `starts[i]` to `starts[i + 1]`, an even
            number, int64, shape (events + 1,).
        ends: of the entries written so far, int64, shape (events,).
        columns, entries: the matrix, int64 and float32, shape (4 events,).
        heat: two polynomials, then the wavelets of both scales, float32, shape
            (2 + SCALES, events, events made whole vectors).
        of_node: vectors of nodes, float32, shape (events, WIDTH).
    """

    table: NDArray[np.int64]
    node_of: NDArray[np.int64]
    edges: NDArray[np.int64]
    weights: NDArray[np.float64]
    degrees: NDArray[np.float64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    columns: NDArray[np.int64]
    entries: NDArray[np.float32]
    heat: NDArray[np.float32]
    of_node: NDArray[np.float32]


@njit(cache=True, nogil=True)
def _room_for(events: int) -> _Room:
    return _Room(
        np.empty(4 * events, np.int64),
        np.empty(events, np.int64),
        np.empty((events, 2), np.int64),
        np.empty(events),
        np.empty(events),
        np.empty(events + 1, np.int64),
        np.empty(events, np.int64),
        np.empty(4 * events, np.int64),
        np.empty(4 * events, np.float32),
        np.empty((2 + SCALES, events, _whole_vectors(events)), np.float32),
        np.empty((events, WIDTH), np.float32),
    )


@njit(cache=True, nogil=True)
def _whole_vectors(nodes: int) -> int:
    return (nodes + _LANES - 1) // _LANES * _LANES


@njit(cache=True, nogil=True)
def _join(
    delays: NDArray[np.float32],
    parents: NDArray[np.int32],
    users: NDArray[np.int32],
    age: float,
    room: _Room,
) -> tuple[int, int]:
    """Writes the node of each event and the weighted edges; returns how many nodes and edges."""
    table, node_of, edges, weights = room.table, room.node_of, room.edges, room.weights
    size = 4
    while size < 2 * len(users):
        size *= 2
    table[:size] = -1
    nodes = count = 0
    for event in range(len(users)):
        slot = (users[event] * 0x9E3779B1) & (size - 1)
        while table[slot] >= 0 and users[table[slot]] != users[event]:
            slot = (slot + 1) & (size - 1)
        seen = table[slot] >= 0
        if seen:
            node_of[event] = node_of[table[slot]]
        else:
            table[slot] = event
            node_of[event] = nodes
            nodes += 1
        parent = parents[event] if 0 <= parents[event] < event else 0
        here, there = node_of[event], node_of[parent]
        if here == there:
            continue
        weight = 1.0
        if age > 0:
            weight = min(max(1 - float(delays[event]) / age, LEAST_WEIGHT), 1.0)
        edge = count
        if seen:  # the first event of a user cannot repeat an edge
            for other in range(count):
                one, two = edges[other, 0], edges[other, 1]
                if (one == here and two == there) or (one == there and two == here):
                    edge = other
                    break
        if edge == count:
            edges[edge, 0], edges[edge, 1], weights[edge] = here, there, 0.0
            count += 1
        weights[edge] = max(weights[edge], weight)
    return nodes, count


@njit(cache=True, nogil=True)
def _shift_laplacian(nodes: int, count: int, room: _Room) -> None:
    """Writes the rows of L - 1, L = 1 - D^-1/2 W D^-1/2, its spectrum in [-1, 1].

    `_diffuse` takes the entries of a row two at a time: odd rows end with a zero.
    """
    edges, weights, degrees = room.edges, room.weights, room.degrees
    starts, ends, columns, entries = room.starts, room.ends, room.columns, room.entries
    degrees[:nodes] = 0.0
    starts[: nodes + 1] = 0
    for edge in range(count):
        for end in range(2):
            degrees[edges[edge, end]] += weights[edge]
            starts[edges[edge, end] + 1] += 1
    for node in range(nodes):
        starts[node + 1] = starts[node] + max(starts[node + 1] + (starts[node + 1] & 1), 2)
        ends[node] = starts[node]
        columns[starts[node] : starts[node + 1]] = node
        entries[starts[node] : starts[node + 1]] = 0.0
        if degrees[node] == 0:  # a root alone: L is 0, heat stays where it is
            entries[starts[node]] = -1.0
    for edge in range(count):
        entry = -weights[edge] / math.sqrt(degrees[edges[edge, 0]] * degrees[edges[edge, 1]])
        for end in range(2):
            here, there = edges[edge, end], edges[edge, 1 - end]
            columns[ends[here]], entries[ends[here]] = there, entry
            ends[here] += 1


# A product and a sum may become one rounding. Sums keep their order: nothing else is given up.
@njit(cache=True, nogil=True, fastmath={"contract"})
def _diffuse(
    nodes: int, width: int, coefficients: NDArray[np.float32], order: int, room: _Room
) -> None:
    """Writes exp(-s L) for both scales, rows padded with zeros to `width`.

    All columns go through T_k+1(x) = 2 x T_k(x) - T_k-1(x) together and both scales sum the same
    T_k, k up to `order`.
    """
    starts, columns, entries = room.starts, room.columns, room.entries
    older, newer, short, long = room.heat[0], room.heat[1], room.heat[2], room.heat[3]
    for row in range(nodes):
        for column in range(width):
            older[row, column] = 0.0
            newer[row, column] = 0.0
            short[row, column] = 0.0
            long[row, column] = 0.0
        newer[row, row] = 1.0
        short[row, row] = coefficients[0, 0]
        long[row, row] = coefficients[1, 0]
    for k in range(1, order + 1):
        factor = _ONE if k == 1 else _TWO
        for row in range(nodes):
            keep = -_ONE  # T_-1 is 0 here: `older` is when k is 1
            for at in range(starts[row], starts[row + 1], 2):
                one, two = columns[at], columns[at + 1]
                by_one, by_two = factor * entries[at], factor * entries[at + 1]
                for column in range(width):
                    older[row, column] = (
                        keep * older[row, column]
                        + by_one * newer[one, column]
                        + by_two * newer[two, column]
                    )
                keep = _ONE
            for column in range(width):
                short[row, column] += coefficients[0, k] * older[row, column]
                long[row, column] += coefficients[1, k] * older[row, column]
        older, newer = newer, older


# Sums may change their order, or they could not be taken by vectors.
@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _characteristic(
    nodes: int, width: int, wavelets: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Writes the characteristic function of each row of `wavelets`, cosines before sines.

    One sine and cosine a value; the further points by cos((k + 1) a) = 2 cos(a) cos(k a) -
    cos((k - 1) a), and sines likewise. Written out, so that the 20 sums stay in registers or next
    to them while the row is read once: with arrays of sums it takes twice as long.
    """
    scale = np.float32(1 / nodes)
    padding = np.float32(width - nodes)  # a padded zero has cosine 1 and sine 0
    for row in range(nodes):
        a1 = a2 = a3 = a4 = a5 = a6 = a7 = a8 = a9 = a10 = -padding
        b1 = b2 = b3 = b4 = b5 = b6 = b7 = b8 = b9 = b10 = np.float32(0.0)
        for column in range(width):
            turns = _TURNS * wavelets[row, column]
            # Half the angle, in [-pi / 2, pi / 2], where short Taylor series are exact enough.
            x = _PI * (turns - np.float32(np.int32(turns + _HALF)))
            q = x * x
            s = x * (_ONE + q * (_S3 + q * (_S5 + q * (_S7 + q * (_S9 + q * _S11)))))
            c = _ONE + q * (_C2 + q * (_C4 + q * (_C6 + q * (_C8 + q * (_C10 + q * _C12)))))
            c1, s1 = _ONE - _TWO * s * s, _TWO * s * c
            twice = _TWO * c1
            c2, s2 = twice * c1 - _ONE, twice * s1
            c3, s3 = twice * c2 - c1, twice * s2 - s1
            c4, s4 = twice * c3 - c2, twice * s3 - s2
            c5, s5 = twice * c4 - c3, twice * s4 - s3
            c6, s6 = twice * c5 - c4, twice * s5 - s4
            c7, s7 = twice * c6 - c5, twice * s6 - s5
            c8, s8 = twice * c7 - c6, twice * s7 - s6
            c9, s9 = twice * c8 - c7, twice * s8 - s7
            c10, s10 = twice * c9 - c8, twice * s9 - s8
            a1, a2, a3, a4, a5 = a1 + c1, a2 + c2, a3 + c3, a4 + c4, a5 + c5
            a6, a7, a8, a9, a10 = a6 + c6, a7 + c7, a8 + c8, a9 + c9, a10 + c10
            b1, b2, b3, b4, b5 = b1 + s1, b2 + s2, b3 + s3, b4 + s4, b5 + s5
            b6, b7, b8, b9, b10 = b6 + s6, b7 + s7, b8 + s8, b9 + s9, b10 + s10
        for point, total in enumerate((a1, a2, a3, a4, a5, a6, a7, a8, a9, a10)):
            out[row, point] = scale * total
        for point, total in enumerate((b1, b2, b3, b4, b5, b6, b7, b8, b9, b10)):
            out[row, POINTS + point] = scale * total


@njit(cache=True, nogil=True)
def _embed(
    batch: Batch,
    offsets: NDArray[np.int64],
    coefficients: NDArray[np.float32],
    orders: NDArray[np.int64],
    vectors: NDArray[np.float32],
) -> None:
    most = 1
    for row in range(len(batch.ages)):
        most = max(most, offsets[row + 1] - offsets[row])
    room = _room_for(most)
    for row in range(len(batch.ages)):
        events = offsets[row + 1] - offsets[row]
        if events == 0:
            continue
        kept = slice(batch.offsets[row], batch.offsets[row] + events)
        nodes, count = _join(
            batch.delays[kept], batch.parents[kept], batch.users[kept], batch.ages[row], room
        )
        _shift_laplacian(nodes, count, room)
        # The padding is of this graph, not of the batch's largest: sums must not depend on that.
        width = _whole_vectors(nodes)
        _diffuse(nodes, width, coefficients[nodes], orders[nodes], room)
        for scale in range(SCALES):
            columns = slice(scale * 2 * POINTS, (scale + 1) * 2 * POINTS)
            _characteristic(nodes, width, room.heat[2 + scale], room.of_node[:, columns])
        for event in range(events):
            vectors[offsets[row] + event] = room.of_node[room.node_of[event]]


def graphwave_of(batch: Batch) -> StructureVectors:
    """The vectors of the first events of each snapshot, all in one compiled call.

    Args:
        batch: from `models.cascades.batch.gather`.

    Returns:
        `StructureVectors`; those of a snapshot are the same to the bit whatever else is in the
        batch, and within 5e-5 of exact arithmetic, 5e-6 in graphs of 10 nodes or more.
    """
    offsets = np.zeros_like(batch.offsets)
    np.cumsum(np.minimum(np.diff(batch.offsets), EVENTS), out=offsets[1:])
    vectors = np.empty((offsets[-1], WIDTH), np.float32)
    _embed(batch, offsets, _COEFFICIENTS, _ORDERS, vectors)
    return StructureVectors(offsets, vectors)


def graphwave(snapshots: Sequence[CascadeSnapshot]) -> StructureVectors:
    """`graphwave_of` for snapshots that are not gathered yet."""
    return graphwave_of(gather(snapshots))
