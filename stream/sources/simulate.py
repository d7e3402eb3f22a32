"""A simulated world for a machine without data: cascades and the requests that they drive.

The stream has no end, is in order of event time, and is a function of its parameters and seed
alone. Memory holds the shares that are still to come within a cascade's lifetime, and is bounded:
by `MOST_PENDING` of them and `MOST_LIVE` live cascades, 226 MB of arrays. Beyond either, shares or
whole cascades are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.sources import branching, process
from stream.sources.messages import BATCH, EVENTS, REQUESTS, Message, SourceError
from stream.sources.parameters import Parameters, Population, TwoPiece, activity_table, load
from topics.records import EdgeRequest, SocialEvent

# 2020-01-01T00:00:00Z. Fixed, so that a seed always gives the same bytes; years ago, so that a
# stream that runs hundreds of times faster than life stays in the past.
START = 1_577_836_800.0
MOST_PENDING = 1 << 23
MOST_LIVE = 1 << 20
USERS = 200_000
CLIENTS = 5_000  # of an edge
REMEMBERED = 1 << 20  # shares that requests may follow
FIRST_PENDING = 1 << 16
FIRST_LIVE = 1 << 12
_NO_END = int(np.iinfo(np.int64).max)


class Simulation:
    """Events and requests of a simulated world: topics `social.events` and `edge.requests`.

    Args:
        seed: 0 or more; identifiers carry it, so runs with different seeds never collide.
        cascades_per_second: of event time, on average over a day.
        requests_per_second: of event time, on average over a day; 0: no requests.
        edges: how many, named `edge-0`, `edge-1`, ...
        start: event time of the beginning, unix seconds.
        cascades: ends the stream when that many cascades have run their course; None: no end.
        parameters: None takes those that were fitted.
        most_pending: shares that may be pending.
        most_live: cascades that may be alive.

    Attributes:
        refused: cascades left out because `most_live` were alive, in the last iteration.
        cut: shares left out because `most_pending` were pending, in the last iteration.

    Raises:
        SourceError: an argument outside its bounds.
    """

    name = "simulation"
    total: int | None = None

    def __init__(
        self,
        *,
        seed: int = 0,
        cascades_per_second: float = 1.0,
        requests_per_second: float = 100.0,
        edges: int = 4,
        start: float = START,
        cascades: int | None = None,
        parameters: Parameters | None = None,
        most_pending: int = MOST_PENDING,
        most_live: int = MOST_LIVE,
    ) -> None:
        for what, got, least in (
            ("seed", seed, 0),
            ("cascades_per_second", cascades_per_second, 0),
            ("requests_per_second", requests_per_second, 0),
            ("edges", edges, 1),
            ("start", start, 0),
            ("cascades", 1 if cascades is None else cascades, 1),
        ):
            if not least <= got < np.inf:
                raise SourceError(f"{what}: got {got}; expected {least} or more")
        if cascades is not None and requests_per_second:
            raise SourceError(
                "cascades: a stream with requests has no end; set requests_per_second to 0"
            )
        if not cascades_per_second and not requests_per_second:
            raise SourceError("nothing to simulate: both rates are 0")
        self.parameters = parameters or load()
        self.refused = self.cut = 0
        self._seed = seed
        self._start = float(start)
        rates = {EVENTS: cascades_per_second, REQUESTS: requests_per_second}
        self.begins: Mapping[str, float] = {
            topic: self._start for topic, rate in rates.items() if rate
        }
        most_born = _NO_END if cascades is None else cascades
        self._bounds = most_born, most_pending, most_live
        self._edges = [f"edge-{number}" for number in range(edges)]
        self._laws = laws(
            self.parameters, cascades_per_second, requests_per_second, edges, _fame(seed)
        )
        # Compiles the process, some ten seconds when it is not cached yet; done here rather than
        # at the first batch, which may be taken inside an event loop.
        next(iter(self))

    def __iter__(self) -> Iterator[list[Message]]:
        """Simulates, encodes and yields from the start, `BATCH` at a time."""
        random = np.random.Generator(np.random.PCG64(self._seed))
        state = _new_state(len(self.parameters.populations))
        rows = _new_rows(BATCH)
        branching.begin(self._laws, state, random, self._start)
        while True:
            count = branching.advance(self._laws, state, rows, random, *self._bounds)
            self.cut = int(state.counters[process.CUT])
            self.refused = int(state.counters[process.REFUSED])
            if count:
                yield self._encode(rows, count)
            if count < BATCH:
                if not state.counters[process.PENDING] and np.isinf(state.next_times).all():
                    return
                state = _grown(state, *self._bounds[1:])

    def _encode(self, rows: process.Rows, count: int) -> list[Message]:
        encode = msgspec.json.Encoder().encode
        kinds = [population.kind for population in self.parameters.populations]
        prefix, edges = f"s{self._seed}-", self._edges
        times = np.round(rows.time[:count], 3)  # milliseconds: shorter, and still in order
        batch = []
        for time, law, number, place, parent, who, parent_user in zip(
            times.tolist(), *(column[:count].tolist() for column in rows[1:]), strict=True
        ):
            content = f"content/{prefix}{number}" if number >= 0 else f"catalogue/{-1 - number}"
            if law < 0:
                edge = edges[place]
                request = EdgeRequest(edge, content, time, client_id=f"{edge}/client-{who}")
                batch.append(Message(REQUESTS, edge.encode(), encode(request), time))
                continue
            cascade = f"{prefix}{number}"
            event = SocialEvent(
                cascade,
                f"{cascade}:{place}",
                f"user-{who}",
                time,
                kinds[law] if place else "post",
                f"{cascade}:{parent}" if place else None,
                f"user-{parent_user}" if place else None,
                content,
            )
            batch.append(Message(EVENTS, cascade.encode(), encode(event), time))
        return batch


def _fame(seed: int) -> NDArray[np.float32]:
    """Standard normal of each user: how far above the middle their audience is."""
    random = np.random.Generator(np.random.PCG64([seed, 1]))
    return random.standard_normal(USERS).astype(np.float32)


def laws(
    parameters: Parameters,
    cascades_per_second: float,
    requests_per_second: float,
    edges: int,
    fame: NDArray[np.float32],
) -> process.Laws:
    """The parameters as arrays, one row a population."""
    populations = parameters.populations
    requests = parameters.requests
    rhythms = [*(population.rhythm for population in populations), requests.rhythm]
    weights = np.array([p.weight for p in populations]) / parameters.total_weight()
    popularity = np.arange(1, requests.catalogue + 1) ** -requests.zipf
    shares = cascades_per_second * parameters.mean_size() * parameters.lifetime
    # Every scalar as a float or an int, whatever was given: other types would be compiled anew.
    return process.Laws(
        birth_rate=cascades_per_second * weights,
        activity=np.array([activity_table(rhythm) for rhythm in rhythms]),
        size=np.array([_row(p.size) for p in populations]),
        reshares=np.array([_reshares(p) for p in populations]),
        audience=np.array([p.audience_spread for p in populations]),
        direct_scale=np.array([_row(p.direct_scale) for p in populations]),
        direct_exponent=np.array([p.direct_exponent for p in populations]),
        reshare_law=np.array(
            [(p.reshare_delay.scale, p.reshare_delay.exponent) for p in populations]
        ),
        fame=fame,
        catalogue=np.cumsum(popularity) / popularity.sum(),
        lifetime=float(parameters.lifetime),
        request_rate=float(requests_per_second),
        driven=float(requests.driven) if cascades_per_second else 0.0,
        recency_scale=float(requests.recency.scale),
        recency_exponent=float(requests.recency.exponent),
        # A sample of the shares stands for all, so that a lifetime of them fits.
        kept_shares=min(1.0, REMEMBERED / max(shares, 1.0)),
        locality=float(requests.locality),
        edges=edges,
        clients=CLIENTS,
    )


def _row(law: TwoPiece) -> tuple[float, float, float]:
    return law.median, law.spread_below, law.spread_above


def _reshares(population: Population) -> tuple[float, float]:
    law = population.reshares
    return (law.alpha, law.beta) if law else (0.0, 0.0)


def _new_state(populations: int) -> process.State:
    return process.State(
        counters=np.zeros(6, np.int64),
        next_times=np.empty(populations + 1),
        heap_time=np.empty(FIRST_PENDING),
        heap_slot=np.empty(FIRST_PENDING, np.int32),
        heap_parent=np.empty(FIRST_PENDING, np.int32),
        heap_user=np.empty(FIRST_PENDING, np.int32),
        number=np.empty(FIRST_LIVE, np.int64),
        born=np.empty(FIRST_LIVE),
        population=np.empty(FIRST_LIVE, np.int32),
        reproduction=np.empty(FIRST_LIVE),
        shares=np.empty(FIRST_LIVE, np.int32),
        waiting=np.empty(FIRST_LIVE, np.int32),
        free=np.arange(FIRST_LIVE, dtype=np.int32)[::-1].copy(),
        ring_time=np.empty(REMEMBERED),
        ring_cascade=np.empty(REMEMBERED, np.int64),
        kept=np.ones(1),
    )


def _grown(state: process.State, most_pending: int, most_live: int) -> process.State:
    """The state with twice the room for what is nearly full."""
    pending, live = len(state.heap_time), len(state.free)
    larger = {}
    if state.counters[process.PENDING] + process.MOST_CHILDREN > pending < most_pending:
        for name in ("heap_time", "heap_slot", "heap_parent", "heap_user"):
            larger[name] = np.resize(getattr(state, name), min(2 * pending, most_pending))
    if state.counters[process.LIVE] == live < most_live:
        room = min(2 * live, most_live)
        for name in ("number", "born", "population", "reproduction", "shares", "waiting"):
            larger[name] = np.resize(getattr(state, name), room)
        # All were in use; the new slots are free, and taken from position room - live - 1 down.
        larger["free"] = np.arange(room - 1, -1, -1, dtype=np.int32)
    return state._replace(**larger)


def _new_rows(count: int) -> process.Rows:
    return process.Rows(
        time=np.empty(count),
        population=np.empty(count, np.int32),
        number=np.empty(count, np.int64),
        place=np.empty(count, np.int32),
        parent=np.empty(count, np.int32),
        who=np.empty(count, np.int32),
        parent_user=np.empty(count, np.int32),
    )
