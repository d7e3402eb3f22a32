"""The science of tidecast: forecasters, rankers, data sets, evaluation. Imports topics at most."""

from models.kernels import kernel_cache

kernel_cache.settle()
