"""ConCat (arXiv 2409.16623): a neural jump ODE over a cascade's events, for any age and horizon.

Every jump is read as a vector e; the state flows between jumps and steps at them (`jump_scan`); it
is carried on to the age, and the head answers for any horizon from it, from what is known beside
it (count, age, silence, traces, hours) and from the horizon. The parts of the paper's model can be
had one by one:

    structure   GraphWave vectors of the events' users in the cascade graph (`graphwave`)
    users       an embedding of each event's user by hash, which a user never seen has as well
    encoder     causal Transformers over both before the ODE (`encoder`)
    likelihood  the events as a point process whose intensity the state gives (`intensity`)

A structure is that of the graph at the age, so with it every observation is a replay of its own;
without, one replay serves all observations of a cascade.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
from models.forecasters.jump_ode.encoder import Encoder
from models.forecasters.jump_ode.encoder_states import encodings
from models.forecasters.jump_ode.flows import AffineFlow, Flow, NeuralFlow
from models.forecasters.jump_ode.intensity import Intensity
from models.forecasters.jump_ode.scan import JumpODE
from models.forecasters.jump_ode.states import states_at
from models.kernels import dense
from models.learning.layers import Head, MemberLinear, PiecewiseLinear, pinball
from models.learning.loop import Network

COMPONENTS = ("structure", "users", "encoder", "likelihood")
SUMMARISED = FEATURES.index("summarised")
USER_BUCKETS = 2_048
USER_WIDTH = 16
LEAST_DEVIATION = 0.1


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


FLOWS: dict[str, Callable[[int, int], Flow]] = {"affine": AffineFlow, "neural": NeuralFlow}


class Observed(NamedTuple):
    """Observations as the network reads them.

    Attributes:
        offsets: jumps of cascade i are those from `offsets[i]` to `offsets[i + 1]`.
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
    features: Tensor
    clock: Tensor
    multiplicity: Tensor
    users: Tensor
    structure: Tensor | None
    jump: Tensor
    until: Tensor
    table: Tensor
    horizons: Tensor


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
        features=torch.from_numpy(sequences.features),
        clock=torch.from_numpy(clock_of(sequences.times)),
        multiplicity=torch.from_numpy((sequences.counts - starts).astype(np.float32)),
        users=torch.from_numpy(sequences.users.astype(np.int64) % USER_BUCKETS),
        structure=None if vectors is None else torch.from_numpy(vectors),
        jump=torch.from_numpy(cuts.jump),
        until=torch.from_numpy(clock_of(ages)),
        table=torch.from_numpy(np.concatenate([context, asked], axis=2)),
        horizons=torch.from_numpy(clock_of(horizons)),
    )


class Targets(NamedTuple):
    """What came.

    Attributes:
        increments: log2(1 + increment), float32, shape (n, horizons).
        trend: log2(1 + events) in each part of the time to the horizon, float32, shape (n,
            horizons, parts).
        weights: float32, shape (n,); mean about 1.
    """

    increments: Tensor
    trend: Tensor
    weights: Tensor


class ConCatNetwork(Network):
    """The members' networks.

    Args:
        config: of them.
        extra: numbers that a network built on this one gives the head beside the state.

    Attributes:
        structured: whether it reads the structure at the age.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, config: Config, extra: int = 0) -> None:
        super().__init__()
        self.config = config
        self.members = config.members
        self.structured = "structure" in config.components
        members, width, has = config.members, config.width, config.components
        self.register_buffer("feature_mean", torch.zeros(len(FEATURES)))
        self.register_buffer("feature_scale", torch.ones(len(FEATURES)))
        structure = STRUCTURE_WIDTH if self.structured else 0
        users = USER_WIDTH if "users" in has else 0
        self.users = nn.Embedding(USER_BUCKETS, USER_WIDTH) if users else None
        if self.users is not None:
            nn.init.normal_(self.users.weight, std=0.1)
        inputs = len(FEATURES) + structure
        self.encoder = Encoder(members, inputs, users) if "encoder" in has else None
        jump = inputs + users + (self.encoder.outputs if self.encoder is not None else 0)
        self.read = MemberLinear(members, jump, 3 * width)
        flow = FLOWS[config.flow](members, width)
        self.ode = JumpODE(members, width, flow)
        self.intensity = Intensity(members, width) if "likelihood" in has else None
        self.table = PiecewiseLinear(len(CONTEXT) + len(HORIZON), config.bins)
        beside = width + (self.intensity is not None) + extra
        self.head = Head(members, beside + self.table.outputs, config.head, config.dropout)

    def fit_inputs(self, observed: Observed, targets: Targets) -> None:
        """Sets the scales of the inputs and the beginning of the output from training data."""
        self.feature_mean.copy_(observed.features.mean(0))
        # What is rare, or not seen here at all, must not drown the rest where it does occur.
        self.feature_scale.copy_(1 / observed.features.std(0).clamp_min(LEAST_DEVIATION))
        self.table.fit(observed.table.flatten(0, 1).numpy())
        self.head.start_at(float(targets.increments.mean()))

    def inputs(self, observed: Observed) -> Tensor:
        """What all members read of each jump, shape (jumps, inputs)."""
        parts = [(observed.features - self.feature_mean) * self.feature_scale]
        if observed.structure is not None:
            parts.append(observed.structure)
        if self.users is not None:
            parts.append(self.users(observed.users))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def jumps(self, observed: Observed) -> Tensor:
        """What each jump brings to the unit's gates, shape (members, jumps, 3 width)."""
        inputs = self.inputs(observed)
        shared = inputs.expand(self.config.members, -1, -1)
        if self.encoder is None:
            return self.read(shared)
        encoded = self.encoder(*self._parted(inputs), observed.clock, observed.offsets)
        return self.read(torch.cat([shared, encoded], -1))

    def _parted(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the encoder's Transformers read: all but the users' embeddings, and those."""
        if self.users is None:
            return inputs, None
        return inputs[:, :-USER_WIDTH], inputs[:, -USER_WIDTH:]

    def states(self, observed: Observed) -> tuple[Tensor, Tensor, Tensor]:
        """State at each observation, expected events so far, and log-likelihood per event.

        Returns:
            shapes (members, n, width), (members, n) (0 without a likelihood) and ().
        """
        before, after = self.ode(self.jumps(observed), observed.clock, observed.offsets)
        some = observed.jump.clamp_min(0)
        found = (observed.jump >= 0)[:, None]
        if len(observed.clock):
            state = torch.where(found, after[:, some], self.ode.start[:, None])
            since = torch.where(found[:, 0], observed.clock[some], 0.0)
        else:
            state = self.ode.start[:, None].expand(-1, len(some), -1)
            since = torch.zeros_like(observed.until)
        state_now = self.ode.flow(state, since, observed.until)
        if self.intensity is None:
            return state_now, state.new_zeros(state.shape[:2]), state.new_zeros(())
        expected, likelihood = self.intensity.of_jumps(
            before,
            after,
            observed.clock,
            observed.multiplicity,
            observed.features[:, SUMMARISED] > 0,
            observed.offsets,
            self.ode,
        )
        tail = self.intensity.between(state, since, observed.until, self.ode.flow)
        sofar = torch.where(found[:, 0], expected[:, some], 0.0) if len(observed.clock) else 0.0
        return state_now, sofar + tail, likelihood

    def forward(self, observed: Observed) -> tuple[Tensor, Tensor, Tensor]:
        """Means (members, n, horizons), quantiles (..., levels), log-likelihood per event ()."""
        state, expected, likelihood = self.states(observed)
        beside = [] if self.intensity is None else [torch.log1p(expected)[..., None]]
        mean, quantiles = self.answer(torch.cat([state, *beside], -1), observed.table)
        return mean, quantiles, likelihood

    def answer(self, state: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """The head's answers.

        Args:
            state: shape (members, n, numbers) or (members, n, horizons, numbers).
            table: shape (n, horizons, columns).
        """
        members = len(state)
        n, horizons, _ = table.shape
        if state.dim() == 3:
            state = state[:, :, None].expand(-1, -1, horizons, -1)
        encoded = self.table(table.flatten(0, 1)).unflatten(0, (n, horizons))
        return self.head(torch.cat([state, encoded.expand(members, -1, -1, -1)], -1))

    def loss(self, observed: Observed, targets: Targets) -> Tensor:
        """Squared error of the mean, quantile loss and negative log-likelihood, over members."""
        mean, quantiles, likelihood = self(observed)
        return point_loss(mean, quantiles, targets) - self.config.likelihood * likelihood

    @torch.no_grad()
    def predict(self, observed: Observed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over members of the means, shape (n, horizons), and of the quantiles."""
        if not self.compiles(observed):
            mean, quantiles, _ = self(observed)
            return mean.mean(0).double().cpu().numpy(), quantiles.mean(0).double().cpu().numpy()
        if self.intensity is None:
            return self.answer_compiled(self.states_compiled(observed), observed)
        carried, expected, _ = self.states(observed)
        state = torch.cat([carried, torch.log1p(expected)[..., None]], -1)
        return self.answer_compiled(state.numpy(), observed)

    def compiles(self, observed: Observed) -> bool:
        """Whether compiled kernels can answer."""
        return self.config.flow == "affine" and observed.table.device.type == "cpu"

    def states_compiled(self, observed: Observed) -> NDArray[np.float32]:
        """The states of `states`, by compiled kernels."""
        inputs = self.inputs(observed)
        return states_at(
            observed.jump.numpy(),
            observed.until.numpy(),
            inputs.numpy(),
            self.encoded_compiled(inputs, observed),
            observed.clock.numpy(),
            observed.offsets,
            self.read,
            self.ode,
        )

    def encoded_compiled(self, inputs: Tensor, observed: Observed) -> NDArray[np.float32]:
        """What the encoder makes of `inputs`, by a compiled kernel.

        Returns:
            shape (members, jumps, outputs), of no outputs without an encoder.
        """
        clock = observed.clock.numpy()
        if self.encoder is None:
            return np.empty((self.members, len(clock), 0), np.float32)
        return encodings(self.encoder, *self._parted(inputs), clock, observed.offsets)

    def answer_compiled(
        self,
        states: NDArray[np.float32],
        observed: Observed,
        beside: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The members' mean of `answer`, by a compiled kernel.

        Args:
            states: shape (members, n, width).
            observed: has the table.
            beside: what else the head reads of each horizon, shape (members, n, horizons, numbers).
        """
        table = observed.table.numpy()
        if beside is None:
            beside = nothing_beside(self.members, table)
        answers = dense.head(states, beside, table, *compiled_head(self.table, self.head))
        return answers[..., 0], answers[..., 1:]


def nothing_beside(members: int, table: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `dense.head` takes where a head reads nothing beside state and table."""
    return np.empty((members, *table.shape[:2], 0), np.float32)


def compiled_head(table: PiecewiseLinear, head: Head) -> list[NDArray[Any]]:
    """What `dense.head` takes after its inputs."""
    tensors = [table.low, table.scale]
    for layer in (head.first, head.second, head.last):
        tensors += [layer.weight.detach(), layer.bias.detach()]
    return [tensor.numpy() for tensor in tensors]


def point_loss(mean: Tensor, quantiles: Tensor, targets: Targets) -> Tensor:
    """Squared error of the mean plus quantile loss, weighted mean a member, summed over them."""
    weights = targets.weights[:, None]
    squared = weights * (mean - targets.increments) ** 2
    quantile = weights[..., None] * pinball(quantiles, targets.increments)
    return squared.mean((1, 2)).sum() + quantile.mean((1, 2)).sum(-1).sum()
