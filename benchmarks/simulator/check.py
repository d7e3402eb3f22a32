"""Shows how well simulated cascades and requests match recorded ones.

    python benchmarks/simulator/check.py --cascades FILE ... --requests FILE

Simulates as many cascades of each population as were recorded, and prints the quantiles of both
as Markdown tables; docs/simulator.md keeps them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from fit import DAY, LIFETIME, Array, complete
from numpy.typing import NDArray

from models.data.cascades import read_cascades
from models.data.datasets import Cascade, RequestTrace
from models.data.requests import read_requests
from stream.sources import parameters
from stream.sources.parameters import Parameters, Population
from stream.sources.replay import stem
from stream.sources.simulate import Simulation
from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS


def simulated(law: Parameters, population: Population, count: int, seed: int) -> list[Cascade]:
    """Complete simulated cascades, one a minute."""
    only = msgspec.structs.replace(law, populations=[population])
    source = Simulation(
        seed=seed, cascades_per_second=1 / 60, requests_per_second=0, cascades=count,
        parameters=only,
    )  # fmt: skip
    events: dict[str, list[tuple[float, int, str]]] = {}
    for batch in source:
        for message in batch:
            event = SOCIAL_EVENTS.codec.decode(message.value)
            parent = int(event.parent_id.rpartition(":")[2]) if event.parent_id else -1
            events.setdefault(event.cascade_id, []).append((event.timestamp, parent, event.user_id))
    cascades = []
    for cascade_id, rows in events.items():
        times, parents, users = zip(*rows, strict=True)
        cascades.append(
            Cascade(
                cascade_id, users[0], times[0], list(users), np.array(parents, np.int32),
                np.array(times) - times[0],
            )
        )  # fmt: skip
    return cascades


def statistics(cascades: list[Cascade]) -> dict[str, Array]:
    """What is compared, each an array over cascades or events within the lifetime."""
    result: dict[str, list[Array]] = {}
    for cascade in complete(cascades):
        count = int(np.searchsorted(cascade.delays, LIFETIME, side="right"))
        delays, parents = cascade.delays[:count], cascade.parents[:count]
        found = {
            f"events at {label}": [np.searchsorted(delays, age, side="right")]
            for label, age in (("5 min", 300), ("1 h", 3600), ("24 h", DAY), ("48 h", LIFETIME))
        }
        found["delay of a direct share (s)"] = delays[parents == 0]
        if (cascade.parents > 0).any():
            further = parents > 0
            found["delay of a re-share after its parent (s)"] = (
                delays[further] - delays[parents[further]]
            )
            found["depth of an event"] = cascade.depths[:count][1:]
            found["deepest event of a cascade"] = [cascade.depths[:count].max()]
        if count > 1:
            found["direct shares, part of all (%)"] = [100 * (parents == 0).sum() / (count - 1)]
        for label, values in found.items():
            result.setdefault(label, []).append(np.asarray(values, float))
    return {label: np.concatenate(values) for label, values in result.items()}


def request_statistics(times: Array, objects: NDArray[np.int64]) -> dict[str, float]:
    """Concentration, drift and recency of requests."""
    counts = np.sort(np.bincount(objects))[::-1]
    counts = counts[counts > 0]
    days = ((times - times[0]) // DAY).astype(int)
    tops = [
        set(np.argsort(np.bincount(objects[days == day]), kind="stable")[-100:])
        for day in range(days.max())
    ]
    kept = [len(a & b) / 100 for a, b in pairwise(tops)]
    order = np.lexsort((times, objects))
    gaps = np.diff(times[order])[np.diff(objects[order]) == 0]
    return {
        "requests for the most popular 1 % of objects (%)": 100
        * counts[: max(counts.size // 100, 1)].sum() / counts.sum(),
        "requests for the most popular 10 % of objects (%)": 100
        * counts[: counts.size // 10].sum() / counts.sum(),
        "a day's 100 most popular objects still so the next day (%)": 100 * float(np.mean(kept)),
        "median time between requests of one object (s)": float(np.median(gaps)),
        "objects": float(counts.size),
    }  # fmt: skip


def simulated_requests(law: Parameters, trace: RequestTrace) -> tuple[Array, NDArray[np.int64]]:
    """As many simulated requests as recorded, at the recorded rate, after two days' start."""
    seconds = float(trace.timestamps[-1] - trace.timestamps[0])
    source = Simulation(
        seed=1,
        cascades_per_second=len(trace.object_ids) / seconds,
        requests_per_second=len(trace) / seconds,
        parameters=law,
    )
    index: dict[str, int] = {}
    times: list[float] = []
    objects: list[int] = []
    first: float | None = None
    for batch in source:
        for message in batch:
            first = message.timestamp if first is None else first
            if message.topic == EDGE_REQUESTS.name and message.timestamp > first + LIFETIME:
                request = EDGE_REQUESTS.codec.decode(message.value)
                times.append(request.timestamp)
                objects.append(index.setdefault(request.object_id, len(index)))
        if len(times) >= len(trace):
            return np.array(times[: len(trace)]), np.array(objects[: len(trace)])
    raise AssertionError("the simulation has no end")


def check(law: Parameters, files: list[Path], requests: Path) -> Iterator[str]:
    """Markdown tables of recorded and simulated quantiles."""
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    for file in files:
        population = next(p for p in law.populations if p.name == stem(file))
        recorded = list(read_cascades(file))
        drawn = simulated(law, population, len(recorded), seed=1)
        yield f"\n**{population.name}** (recorded / simulated)\n"
        yield "| | 5 % | 25 % | 50 % | 75 % | 95 % | mean |"
        yield "|---|---|---|---|---|---|---|"
        real, simulation = statistics(recorded), statistics(drawn)
        for label, values in real.items():
            pairs = zip(
                [*np.quantile(values, levels), values.mean()],
                [*np.quantile(simulation[label], levels), simulation[label].mean()],
                strict=True,
            )
            cells = " | ".join(f"{a:,.3g} / {b:,.3g}" if max(a, b) < 1000 else
                               f"{a:,.0f} / {b:,.0f}" for a, b in pairs)  # fmt: skip
            yield f"| {label} | {cells} |"
    trace = read_requests(requests)
    # Requests follow the cascades of their own world, where the recording has them.
    own = [p for p in law.populations if p.name == stem(requests)] or law.populations
    law = msgspec.structs.replace(law, populations=own)
    real_requests = request_statistics(trace.timestamps, trace.objects.astype(np.int64))
    simulated_ones = request_statistics(*simulated_requests(law, trace))
    yield f"\n**requests of {stem(requests)}**\n\n| | recorded | simulated |\n|---|---|---|"
    for label, value in real_requests.items():
        yield f"| {label} | {value:,.1f} | {simulated_ones[label]:,.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cascades", nargs="+", type=Path, required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--parameters", type=Path, default=parameters.FITTED)
    options = parser.parse_args()
    fitted = parameters.load(options.parameters)
    for line in check(fitted, options.cascades, options.requests):
        print(line, flush=True)


if __name__ == "__main__":
    main()
