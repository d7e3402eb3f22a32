"""Training of a neural ranker on the requests of one or several edges.

Of each sequence the earlier part trains and the later one validates, which stops the training;
the network then goes on for a while with both, since the latest requests resemble the next the
most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.caches.model import RANKERS, RankerModel
from models.caches.networks.material import Histories, RankerMaterial
from models.caches.stepper import Config
from models.learning.checkpoint import Checkpoint
from models.learning.loop import Schedule, train, train_again
from models.learning.recipes import Report, silent

_VALIDATION = 0.25  # share of the requests of a sequence
SCHEDULE = Schedule(epochs=24, patience=6, averaged=1.0, again=4, rate=5e-3)


def train_ranker(
    name: str,
    sources: Sequence[NDArray[np.int32]],
    seed: int,
    config: Config | None = None,
    schedule: Schedule = SCHEDULE,
    report: Report = silent,
) -> tuple[RankerModel, dict[str, Any]]:
    """A trained model, and what the training found.

    Args:
        name: of the kind of model, a key of `RANKERS`.
        sources: the object of each request of an edge, in order, dense from 0; some thousand each.
        seed: the same one gives the same network.
        config: of the network.
        schedule: of the training.
        report: is told how it gets on.
    """
    config = Config() if config is None else config
    network = RANKERS[name].untrained(config, seed)
    histories = []
    for number, source in enumerate(sources):
        report("histories", number, len(sources))
        histories.append(Histories(source, config.every))
    report("histories", len(sources), len(sources))
    network.fit_inputs(np.concatenate([one.features for one in histories]))
    ends = [len(one.requests) for one in histories]
    cuts = [int((1 - _VALIDATION) * end) for end in ends]
    early = RankerMaterial([(h, 0, cut) for h, cut in zip(histories, cuts, strict=True)])
    late = RankerMaterial(list(zip(histories, cuts, ends, strict=True)))
    identity = [name, config, schedule, seed, [one.requests.tolist() for one in histories]]
    found = train(network, early, late.validation(), schedule, seed, report, Checkpoint(identity))
    whole = RankerMaterial([(h, 0, end) for h, end in zip(histories, ends, strict=True)])
    train_again(network, whole, schedule, seed, report)
    return RANKERS[name].of(network.eval()), found
