"""The science of tidecast: forecasters, rankers, data sets, evaluation. Imports topics at most.

Told from the ground up.

Modules:
    kernels: compiled arithmetic that knows no cascade
    files: what the folders of all models have in common: card, digests, data sets
    extras: what is installed beside the core, and what says so where it is missing
    data: recorded cascades and requests
    cascades: cascades as models read them
    interface: what every forecaster and every ranker is to the stream
    learning: how anything is trained
    forecasters: the forecasters, and how each is trained
    caches: caches and rankers of objects, and how the neural ones are trained
    registry: the versions of models, a folder each
    training: every kind of model that can be trained, by name
    judging: whether it is any good
"""

from models.kernels import kernel_cache

__all__ = [
    "caches",
    "cascades",
    "data",
    "extras",
    "files",
    "forecasters",
    "interface",
    "judging",
    "kernels",
    "learning",
    "registry",
    "training",
]

kernel_cache.settle()
