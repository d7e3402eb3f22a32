"""ConCat (arXiv 2409.16623): a neural jump ODE over a cascade's events, for any age and horizon.

Every jump is read as a vector e; the state flows between jumps and steps at them; it is carried on
to the age, and the head answers for any horizon from it, from what is known beside it (count, age,
silence, traces, hours) and from the horizon. The parts of the paper's model can be had one by one:

    structure   GraphWave vectors of the events' users in the cascade graph (`graphwave`)
    users       an embedding of each event's user by hash, which a user never seen has as well
    encoder     causal Transformers over both before the ODE (`jump_ode.encoder_states`)
    likelihood  the events as a point process whose intensity the state gives

A structure is that of the graph at the age, so with it every observation is a replay of its own;
without, one replay serves all observations of a cascade.

Here is what it reads, and how a trained one answers on a CPU: by compiled kernels, without PyTorch.
`models.forecasters.networks.concat` is the network as it is trained, and what answers where it has
a part that no kernel has.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cascades.batch import Batch
from models.cascades.clock import clock_of
from models.cascades.graphwave import WIDTH as STRUCTURE_WIDTH
from models.cascades.graphwave import graphwave_of
from models.cascades.sequences import (
    CONTEXT,
    FEATURES,
    HORIZON,
    cut,
    horizon_features,
    sequences_of,
)
from models.forecasters.jump_ode import encoder_states
from models.forecasters.jump_ode.states import JumpWeights, jump_shapes, states_at
from models.kernels import dense
from models.learning.weights import Shapes, Weights, affine, named, within

COMPONENTS = ("structure", "users", "encoder", "likelihood")
SUMMARISED = FEATURES.index("summarised")
USER_BUCKETS = 2_048
USER_WIDTH = 16
FLOWS = ("affine", "neural")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a network.

    Attributes:
        components: of `COMPONENTS`, those that it has.
        flow: `affine` or `neural`.
        members: networks trained side by side.
        width: of the state.
        head: width of the head's hidden layers.
        bins: of the piecewise-linear encoding of the head's numbers.
        dropout: in the head.
        likelihood: weight of the log-likelihood per event in the loss.
    """

    components: tuple[str, ...] = ()
    flow: str = "affine"
    members: int = 4
    width: int = 48
    head: int = 96
    bins: int = 10
    dropout: float = 0.15
    likelihood: float = 0.1

    def __post_init__(self) -> None:
        unknown = set(self.components) - set(COMPONENTS)
        if unknown:
            raise ValueError(f"got components {sorted(unknown)}; expected some of {COMPONENTS}")
        if self.flow not in FLOWS:
            raise ValueError(f"got flow {self.flow!r}; expected one of {', '.join(FLOWS)}")


class Observed(NamedTuple):
    """Observations as the network reads them: arrays, or tensors where PyTorch works on them.

    Attributes:
        offsets: jumps of cascade i are those from `offsets[i]` to `offsets[i + 1]`; an array.
        features: float32, shape (jumps, len(FEATURES)).
        clock: of the jumps, float32, shape (jumps,).
        multiplicity: events of each jump, float32, shape (jumps,).
        users: bucket of each jump's user, int64, shape (jumps,).
        structure: float32, shape (jumps, 40); None without it.
        jump: the last jump of each observation, -1 where there is none, int64, shape (n,).
        until: clock at the observation, float32, shape (n,).
        table: context and horizon, float32, shape (n, horizons, columns).
        horizons: clock at each horizon, float32, shape (n, horizons).
    """

    offsets: NDArray[np.int64]
    features: Any
    clock: Any
    multiplicity: Any
    users: Any
    structure: Any
    jump: Any
    until: Any
    table: Any
    horizons: Any


def observe(
    batch: Batch,
    rows: NDArray[np.int64],
    ages: NDArray[np.float64],
    counts: NDArray[np.int64],
    horizons: NDArray[np.float64],
    structure: bool = False,
) -> Observed:
    """Observations of cascades.

    Args:
        batch: snapshots, each at or after all its observations; with a structure, at them.
        rows: the snapshot that each observation is of, shape (n,).
        ages: seconds since publication, shape (n,).
        counts: events by then, shape (n,).
        horizons: ages in seconds, shape (n, horizons).
        structure: whether to compute it.
    """
    sequences = sequences_of(batch)
    published = batch.published_at[rows]
    cuts = cut(sequences, rows, ages, counts, published)
    asked = horizon_features(ages, horizons, published)
    context = np.broadcast_to(cuts.context[:, None], (*asked.shape[:2], len(CONTEXT)))
    starts = np.zeros(len(sequences.counts), np.int64)
    starts[1:] = sequences.counts[:-1]
    starts[sequences.offsets[:-1][np.diff(sequences.offsets) > 0]] = 0
    vectors = None
    if structure:
        vectors = np.zeros((len(sequences.times), STRUCTURE_WIDTH), np.float32)
        found = graphwave_of(batch)
        for row in range(len(batch.ages)):
            own = found.vectors[found.offsets[row] : found.offsets[row + 1]]
            first = sequences.offsets[row]
            vectors[first : first + len(own)] = own[: sequences.offsets[row + 1] - first]
    return Observed(
        offsets=sequences.offsets,
        features=sequences.features,
        clock=clock_of(sequences.times),
        multiplicity=(sequences.counts - starts).astype(np.float32),
        users=sequences.users.astype(np.int64) % USER_BUCKETS,
        structure=None if vectors is None else vectors,
        jump=cuts.jump,
        until=clock_of(ages),
        table=np.concatenate([context, asked], axis=2),
        horizons=clock_of(horizons),
    )


class Compiled:
    """A trained network as its kernels have it.

    Args:
        config: of a network for which `compiles` holds.
        weights: of the whole network.
    """

    def __init__(self, config: Config, weights: Weights) -> None:
        self.config = config
        self.structured = "structure" in config.components
        self._front = CompiledFront(config, weights)

    def predict(self, observed: Observed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over members of the means, shape (n, horizons), and of the quantiles."""
        return self._front.answer(self._front.states(observed), observed)


class CompiledFront:
    """From events to states, and from states to answers: what ConCat and CasFT share.

    Attributes:
        members: whose answers are averaged.
        jump: weights of the jump ODE.

    Args:
        config: its flow is affine.
        weights: of the network, by their names in it.
    """

    def __init__(self, config: Config, weights: Weights) -> None:
        self.members = config.members
        self.jump = JumpWeights.of(weights)
        self.table = weights["table.low"], weights["table.scale"]
        self._mean, self._scale = weights["feature_mean"], weights["feature_scale"]
        self._users = weights.get("users.weight")
        self._encoder = within(weights, "encoder")
        self._head = dense.head_arrays(within(weights, "head"))

    def states(self, observed: Observed) -> NDArray[np.float32]:
        """The state at each observation, shape (members, n, width)."""
        inputs = self.inputs(observed)
        return states_at(
            observed.jump, observed.until, inputs, self.encoded(inputs, observed),
            observed.clock, observed.offsets, self.jump,
        )  # fmt: skip

    def inputs(self, observed: Observed) -> NDArray[np.float32]:
        """What all members read of each jump, shape (jumps, inputs)."""
        parts = [(observed.features - self._mean) * self._scale]
        if observed.structure is not None:
            parts.append(observed.structure)
        if self._users is not None:
            parts.append(self._users[observed.users])
        return np.concatenate(parts, axis=1)

    def encoded(self, inputs: NDArray[np.float32], observed: Observed) -> NDArray[np.float32]:
        """What the encoder makes of `inputs`, shape (members, jumps, outputs); 0 without one."""
        if not self._encoder:
            return np.empty((self.members, len(inputs), 0), np.float32)
        split = inputs.shape[1] - (0 if self._users is None else USER_WIDTH)
        users = None if self._users is None else np.ascontiguousarray(inputs[:, split:])
        graph = np.ascontiguousarray(inputs[:, :split])
        return encoder_states.encodings(
            self._encoder, graph, users, observed.clock, observed.offsets
        )

    def answer(
        self,
        states: NDArray[np.float32],
        observed: Observed,
        beside: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The head's mean over members, shape (n, horizons), and quantiles, (..., levels).

        Args:
            states: shape (members, n, width).
            observed: has the table.
            beside: what else the head reads of each horizon, shape (members, n, horizons, numbers).
        """
        if beside is None:
            beside = dense.nothing_beside(self.members, observed.table)
        answers = dense.head(states, beside, observed.table, *self.table, *self._head)
        return answers[..., 0], answers[..., 1:]


def compiles(config: Config) -> bool:
    """Whether compiled kernels answer for a whole network of this configuration."""
    return config.flow == "affine" and "likelihood" not in config.components


def shapes(config: Config, extra: int = 0) -> Shapes:
    """Shapes of the network's weights, where its flow is affine.

    Args:
        config: of the network.
        extra: numbers that a network built on this one gives the head beside the state.
    """
    members, width, has = config.members, config.width, config.components
    inputs = len(FEATURES) + (STRUCTURE_WIDTH if "structure" in has else 0)
    users = USER_WIDTH if "users" in has else 0
    encoder = encoder_states.shapes(members, inputs, users) if "encoder" in has else {}
    outputs = encoder_states.WIDTH * (1 + bool(users)) if encoder else 0
    columns = len(CONTEXT) + len(HORIZON)
    likelihood = "likelihood" in has
    beside = width + likelihood + extra
    found: dict[str, tuple[int, ...]] = {
        "feature_mean": (len(FEATURES),),
        "feature_scale": (len(FEATURES),),
        **({"users.weight": (USER_BUCKETS, USER_WIDTH)} if users else {}),
        **named("encoder", encoder),
        **jump_shapes(members, inputs + users + outputs, width),
        **(named("intensity", intensity_shapes(members, width)) if likelihood else {}),
        "table.low": (columns, config.bins),
        "table.scale": (columns, config.bins),
        **named("head", dense.head_shapes(members, beside + columns * config.bins, config.head)),
    }
    return found


def intensity_shapes(members: int, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of an `Intensity`."""
    return named("inner", affine(members, width, width)) | named("outer", affine(members, width, 1))
