"""Parameters of the simulator: typed, bounded, and read from the file that the fit writes.

`simulator.json` beside this module was written by `benchmarks/simulator/fit.py`;
docs/simulator.md says how each number was estimated and how well the result matches.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from stream.sources.messages import SourceError

FITTED = Path(__file__).with_name("simulator.json")

Positive = Annotated[float, Meta(gt=0)]
Spread = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
# Weight of each hour of the day in UTC; only their proportions matter.
Rhythm = Annotated[list[Positive], Meta(min_length=24, max_length=24)]


class TwoPiece(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A law whose log is normal, with one spread below its median and another above."""

    median: Positive
    spread_below: Spread
    spread_above: Spread


class Lomax(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """P(X > x) = (1 + x / scale)^-exponent; seconds."""

    scale: Positive
    exponent: Positive


class Reshares(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of a cascade's shares are shares of shares: a beta law over cascades."""

    alpha: Positive
    beta: Positive


class Population(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cascades of one kind.

    Attributes:
        weight: its part of all cascades.
        kind: of the events after the root.
        rhythm: of its shares by hour.
        size: events at the end of the lifetime, the root included.
        direct_scale: scale of the delays of direct shares, in seconds; it differs by cascade.
        direct_exponent: exponent of the same Lomax law.
        reshares: None where every share hangs on the root.
        reshare_delay: of a share of a share, after its parent.
        audience_spread: of the log of a user's audience.
    """

    name: str
    weight: Share
    kind: Literal["share", "reply", "view"]
    rhythm: Rhythm
    size: TwoPiece
    direct_scale: TwoPiece
    direct_exponent: Positive
    reshares: Reshares | None = None
    reshare_delay: Lomax = Lomax(1.0, 1.0)
    audience_spread: Spread = 0.0


class RequestLaw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is requested.

    Attributes:
        driven: share of requests that follow the recent shares of a cascade.
        recency: how long before the request that share was.
        catalogue: objects that are asked for apart from cascades.
        zipf: the object of rank k is asked for in proportion to k^-zipf.
        rhythm: of the requests by hour.
        locality: share of an object's requests that go to its favourite edge beside that edge's
            equal part of the others.
    """

    driven: Share
    recency: Lomax
    catalogue: Annotated[int, Meta(ge=1, le=10_000_000)]
    zipf: Annotated[float, Meta(ge=0)]
    rhythm: Rhythm
    locality: Share


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. `lifetime` is the age in seconds at which a cascade ends, in whole days."""

    lifetime: Annotated[float, Meta(ge=86_400, multiple_of=86_400)]
    populations: Annotated[list[Population], Meta(min_length=1)]
    requests: RequestLaw

    def mean_size(self) -> float:
        """Expected events of a cascade."""
        return sum(p.weight * _mean(p.size) for p in self.populations) / self.total_weight()

    def total_weight(self) -> float:
        """Sum of the weights of the populations."""
        return sum(population.weight for population in self.populations)


def load(file: Path | str = FITTED) -> Parameters:
    """Parameters from a JSON file.

    Raises:
        SourceError: the file is not what is expected; says which field.
        OSError: the file cannot be read.
    """
    try:
        content = Path(file).read_bytes().removeprefix(codecs.BOM_UTF8)
        parameters = msgspec.json.decode(content, type=Parameters)
    except msgspec.DecodeError as error:
        raise SourceError(f"{file}: {error}") from error
    if parameters.total_weight() <= 0:
        raise SourceError(f"{file}: populations: got only weights of 0; expected one above 0")
    return parameters


def activity_table(rhythm: list[float]) -> NDArray[np.float64]:
    """Seconds of the population's own time at each hour of the day, shape (25,), 0 to 86,400.

    The own time of a population passes fast in busy hours and slowly at night, so that in it the
    rhythm is flat; a day is as long in both.
    """
    cumulated = np.concatenate([[0.0], np.cumsum(rhythm)])
    own: NDArray[np.float64] = cumulated * (86_400.0 / cumulated[-1])
    return own


def _mean(law: TwoPiece) -> float:
    """Mean of a two-piece log-normal law, by its quantiles."""
    normal = NormalDist()
    z = np.array([normal.inv_cdf((step + 0.5) / 2_000) for step in range(2_000)])
    spread = np.where(z < 0, law.spread_below, law.spread_above)
    return float(np.mean(law.median * np.exp(spread * z)))
