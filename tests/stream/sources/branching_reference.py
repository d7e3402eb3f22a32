"""The branching process as one would write it first: a cascade by recursion, no heap, no rhythm."""

from __future__ import annotations

import math

import numpy as np

from stream.sources.parameters import Lomax, Population, TwoPiece


def draw_two_piece(law: TwoPiece, random: np.random.Generator) -> float:
    z = random.standard_normal()
    return law.median * math.exp(z * (law.spread_below if z < 0 else law.spread_above))


def draw_delay(law: Lomax, longest: float, random: np.random.Generator) -> float:
    """By rejection: draws until the delay falls within `longest`."""
    while True:
        delay = law.scale * (random.random() ** (-1 / law.exponent) - 1)
        if delay <= longest:
            return float(delay)


def draw_cascade(
    population: Population, lifetime: float, random: np.random.Generator
) -> list[tuple[float, int]]:
    """Delay and depth of every event of a cascade, in order of delay."""
    law = population.reshares
    reshares = min(random.beta(law.alpha, law.beta), 0.95) if law else 0.0
    size = draw_two_piece(population.size, random)
    direct = Lomax(draw_two_piece(population.direct_scale, random), population.direct_exponent)
    spread = population.audience_spread
    events = [(0.0, 0)]

    def spawn(delay: float, depth: int, mean: float, law: Lomax) -> None:
        for _ in range(random.poisson(mean)):
            child = delay + draw_delay(law, lifetime - delay, random)
            events.append((child, depth + 1))
            audience = math.exp(spread * random.standard_normal() - spread**2 / 2)
            spawn(child, depth + 1, reshares * audience, population.reshare_delay)

    spawn(0.0, 0, max(size - 1, 0) * (1 - reshares), direct)
    return sorted(events)
