"""Fits the simulator to recorded cascades and requests.

    python benchmarks/simulator/fit.py --cascades FILE ... --requests FILE [--views NAME ...]

Writes stream/sources/simulator.json. docs/simulator.md gives an account of the estimators, and
`check.py` shows how well the result matches.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.data.cascades import read_cascades
from models.data.datasets import Cascade, RequestTrace
from models.data.requests import read_requests
from stream.sources import parameters
from stream.sources.parameters import (
    Lomax,
    Parameters,
    Population,
    RequestLaw,
    Reshares,
    TwoPiece,
    activity_table,
)  # fmt: skip
from stream.sources.replay import stem

Array = NDArray[np.float64]
DAY = 86_400.0
LIFETIME = 2 * DAY  # the last horizon that is forecast
LOCALITY = 0.3  # a choice: the data has no edges
SMALLEST = 20  # events of a cascade whose time scale is estimated
SCALES = np.exp(np.linspace(0, np.log(10 * LIFETIME), 120))
EXPONENTS = np.round(np.arange(0.1, 3.01, 0.05), 2)


def complete(cascades: list[Cascade]) -> list[Cascade]:
    """The cascades whose whole lifetime lies before the end of the recording."""
    end = max(c.published_at + c.delays[-1] for c in cascades)
    return [c for c in cascades if c.published_at + LIFETIME <= end]


# --------------------------------------------------------------------------- cascades


def rhythm_of(times: Array) -> list[float]:
    """Weight of each hour of the day, mean 1, at least 0.02."""
    counts = np.bincount((times % DAY // 3600).astype(int), minlength=24)
    return np.maximum(counts / counts.mean(), 0.02).round(3).tolist()


def own_time(times: Array, rhythm: list[float]) -> Array:
    """Unix times in the population's own time, in which its rhythm is flat."""
    table = activity_table(rhythm)
    days = np.floor(times / DAY)
    return days * DAY + np.interp(times - days * DAY, np.arange(25) * 3600.0, table)


def two_piece(values: Array) -> TwoPiece:
    """Sample median, and on each side of it the root mean square of the logs' distance."""
    logs = np.log(values)
    middle = np.median(logs)
    below, above = logs[logs < middle] - middle, logs[logs > middle] - middle
    spreads = [float(np.sqrt(np.mean(part**2))) if part.size else 0.0 for part in (below, above)]
    return TwoPiece(round(float(np.exp(middle)), 2), *(round(spread, 3) for spread in spreads))


def direct_law(parts: list[Array]) -> tuple[Array, float]:
    """Maximum likelihood: one exponent for all cascades, a scale for each."""
    logs = [np.log1p(delays[:, None] / SCALES).sum(0) for delays in parts]
    sizes = np.array([[delays.size] for delays in parts])
    best: tuple[float, Array, float] = (-np.inf, SCALES, 0.0)
    for exponent in EXPONENTS:
        constant = np.log(exponent / SCALES)
        mass = np.log(-np.expm1(-exponent * np.log1p(LIFETIME / SCALES)))
        table = sizes * (constant - mass) - (1 + exponent) * np.array(logs)
        total = table.max(1).sum()
        if total > best[0]:
            best = total, SCALES[table.argmax(1)], float(exponent)
    return best[1], best[2]


def reshare_law(delays: Array, longest: Array) -> Lomax:
    """Maximum likelihood of one Lomax law, each delay cut at its own longest."""
    rows = np.random.default_rng(0).choice(delays.size, min(delays.size, 20_000), replace=False)
    delays, longest = delays[rows], np.maximum(longest[rows], delays[rows] * (1 + 1e-9))
    scales = SCALES[::3]
    logs = np.log1p(delays[:, None] / scales).sum(0)
    longest_logs = np.log1p(longest[:, None] / scales)
    table = [
        delays.size * np.log(exponent / scales)
        - np.log(-np.expm1(-exponent * longest_logs)).sum(0)
        - (1 + exponent) * logs
        for exponent in EXPONENTS
    ]
    row, column = np.unravel_index(np.argmax(table), (len(table), scales.size))
    return Lomax(round(float(scales[column]), 1), float(EXPONENTS[row]))


def beta_law(values: Array) -> Reshares:
    """Beta law by its first two moments."""
    mean, variance = values.mean(), values.var()
    strength = mean * (1 - mean) / variance - 1
    return Reshares(round(float(mean * strength), 3), round(float((1 - mean) * strength), 3))


def audience_spread(reproduction: Array, weights: Array, childless: float) -> float:
    """Spread at which the expected share of events without children is that observed.

    Args:
        reproduction: expected re-shares of a share, by cascade.
        weights: shares, by cascade.
        childless: part of the shares that have no re-share.
    """
    z = np.linspace(-5, 5, 201)
    density = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    spreads = np.arange(0, 4.01, 0.02)
    means = [
        np.average(
            np.exp(-reproduction[:, None] * np.exp(spread * z - spread**2 / 2)) @ density,
            weights=weights,
        )
        for spread in spreads
    ]
    return round(float(np.interp(childless, means, spreads)), 2)


def fit_population(cascades: list[Cascade], name: str, kind: str, weight: float) -> Population:
    """All parameters of one kind of cascades."""
    # Events a day or more after the post: what is left in them of the hour at which it was
    # published is little, so their hours show the rhythm of the audience.
    late = [c.published_at + c.delays[c.delays >= DAY] for c in cascades]
    rhythm = rhythm_of(np.concatenate(late))
    sizes, direct, reshares, weights = [], [], [], []
    gaps, longest = [], []
    parents_of: list[NDArray[np.int64]] = []
    for cascade in complete(cascades):
        count = int(np.searchsorted(cascade.delays, LIFETIME, side="right"))
        ages = own_time(cascade.published_at + cascade.delays[:count], rhythm)
        ages -= ages[0]
        parents = cascade.parents[:count]
        sizes.append(count)
        if count < SMALLEST:
            continue
        own = np.maximum(ages[parents == 0], 0.5)  # delays are given in whole seconds
        further = parents > 0
        if own.size >= SMALLEST // 2:
            direct.append(own)
        reshares.append(further.sum() / (count - 1))
        weights.append(count - 1)
        gaps.append(np.maximum(ages[further] - ages[parents[further]], 0.5))
        longest.append(LIFETIME - ages[parents[further]])
        parents_of.append(np.bincount(parents[further], minlength=count)[1:])
    scales, exponent = direct_law(direct)
    population = Population(
        name=name,
        weight=weight,
        kind=kind,  # type: ignore[arg-type]
        rhythm=rhythm,
        size=two_piece(np.array(sizes, float)),
        direct_scale=two_piece(scales),
        direct_exponent=exponent,
    )
    if not sum(part.size for part in gaps):
        return population
    children = np.concatenate(parents_of)
    return msgspec.structs.replace(
        population,
        reshares=beta_law(np.array(reshares)),
        reshare_delay=reshare_law(np.concatenate(gaps), np.concatenate(longest)),
        audience_spread=audience_spread(
            np.array(reshares), np.array(weights, float), float((children == 0).mean())
        ),
    )


# --------------------------------------------------------------------------- requests


def zipf_exponent(counts: NDArray[np.int64]) -> float:
    """Maximum likelihood of p(k) ~ k^-s over ranks 1 to the number of objects."""
    counts = np.sort(counts)[::-1]
    ranks = np.log(np.arange(1, counts.size + 1))
    exponents = np.arange(0.2, 2.0, 0.01)
    likelihood = [
        -s * (counts @ ranks) - counts.sum() * np.log(np.exp(-s * ranks).sum()) for s in exponents
    ]
    return round(float(exponents[int(np.argmax(likelihood))]), 2)


def lags(trace: RequestTrace, targets: NDArray[np.int64], edges: Array) -> tuple[Array, Array]:
    """Earlier requests of each target by how long ago: of its object, and of all objects."""
    order = np.argsort(trace.objects, kind="stable")
    starts = np.searchsorted(trace.objects[order], np.arange(len(trace.object_ids) + 1))
    same, every = [], []
    for target in targets:
        now = trace.timestamps[target] - edges
        item = trace.objects[target]
        times = trace.timestamps[order[starts[item] : starts[item + 1]]]
        same.append(-np.diff(np.searchsorted(times, now)))
        every.append(-np.diff(np.searchsorted(trace.timestamps[:target], now)))
    return np.array(same, float), np.array(every, float)


def fit_requests(trace: RequestTrace) -> RequestLaw:
    """How requests follow recent interest in an object, and how popular objects are at large.

    Each of 5,000 requests of the trace's second half is explained by the mixture
    driven * sum of w(age) over its object's earlier requests / the same sum over all objects
    + (1 - driven) * (the object's earlier requests + 1) / (all earlier requests + objects)
    with w the density of a Lomax law; `driven` by expectation maximisation, scale and exponent on
    a grid.
    """
    count = len(trace)
    targets = np.random.default_rng(0).choice(np.arange(count // 2, count), 5_000, replace=False)
    edges = np.concatenate([[0.5], np.exp(np.linspace(0, np.log(15 * DAY), 150))])
    same, every = lags(trace, targets, edges)
    middle = np.sqrt(edges[1:] * edges[:-1])
    background = (same.sum(1) + 1) / (every.sum(1) + len(trace.object_ids))
    best = (-np.inf, 0.0, Lomax(1, 1))
    for scale in np.exp(np.linspace(np.log(60), np.log(10 * DAY), 40)):
        for exponent in np.arange(0.1, 4.01, 0.1):
            weight = (1 + middle / scale) ** (-1 - exponent)
            follows = (same @ weight) / np.maximum(every @ weight, 1e-300)
            driven = 0.5
            for _ in range(50):
                part = driven * follows
                driven = float(np.mean(part / (part + (1 - driven) * background)))
            likelihood = float(np.log(driven * follows + (1 - driven) * background).mean())
            if likelihood > best[0]:
                law = Lomax(round(float(scale), 1), round(float(exponent), 2))
                best = likelihood, driven, law
    return RequestLaw(
        driven=round(best[1], 3),
        recency=best[2],
        catalogue=len(trace.object_ids),
        zipf=zipf_exponent(np.bincount(trace.objects)),
        rhythm=rhythm_of(trace.timestamps),
        locality=LOCALITY,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cascades", nargs="+", type=Path, required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--views", nargs="*", default=[], help="files whose events are views")
    parser.add_argument("--out", type=Path, default=parameters.FITTED)
    options = parser.parse_args()
    recorded = {stem(file): list(read_cascades(file)) for file in options.cascades}
    total = sum(map(len, recorded.values()))
    fitted = Parameters(
        lifetime=LIFETIME,
        populations=[
            fit_population(
                cascades,
                name,
                "view" if name in options.views else "share",
                round(len(cascades) / total, 4),
            )
            for name, cascades in recorded.items()
        ],
        requests=fit_requests(read_requests(options.requests)),
    )
    text = msgspec.json.format(msgspec.json.encode(fitted), indent=2)
    options.out.write_bytes(text + b"\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
