"""Cascades as models read them: batches, sequences, features, observations.

Modules:
    batch: snapshots as one ragged batch of arrays
    sequences: cascades as sequences of jumps, as neural models read them
    clock: the clock by which a cascade's states flow
    windows: observed until one age, forecast at another
    recordings: files of recorded cascades, as training takes them
    observations: each cascade seen at many ages and asked about many horizons
    replays: each cascade replayed once, observed often: what sequence models learn from
    features: hand features at any age, compiled
    timing: those of them that depend on the times alone
    power_law: the power-law memory of SEISMIC
    graphwave: an event's place in the graph of its cascade, as 40 numbers
    graphwave_reference: the same by its definition: slow, and exact
    familiarity: how like what a model was trained on a cascade is
"""

__all__ = [
    "batch",
    "clock",
    "familiarity",
    "features",
    "graphwave",
    "graphwave_reference",
    "observations",
    "power_law",
    "recordings",
    "replays",
    "sequences",
    "timing",
    "windows",
]
