"""A forecaster in trouble: `python troubled_forecaster.py stall|fail BATCHES`.

It is the real role but for its model, which answers so many batches and then fails, or stalls until
a line comes in on its standard input.
"""

from __future__ import annotations

import logging
import sys

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from models.cascades.batch import Batch
from models.interface import LEVELS, Forecaster, Increments
from stream.forecaster.batch import ROLE, ForecastBatch
from stream.serving.cost import CallCost
from stream.serving.loading import Loaded
from stream.settings import Duration, load
from stream.telemetry import setup as telemetry
from stream.workers import agents
from topics.catalogue import CASCADE_SNAPSHOTS


class TroubledForecaster(Forecaster):
    name = "troubled"
    version = "1"

    def __init__(self, trouble: str, batches: int) -> None:
        self._trouble = trouble
        self._batches = batches

    def forecast_batch(self, batch: Batch, horizons: NDArray[np.float64]) -> Increments:
        if self._batches == 0:
            print("trouble begins", file=sys.stderr, flush=True)
            if self._trouble == "fail":
                raise ArithmeticError("the model has no answer")
            sys.stdin.readline()
        self._batches -= 1
        shape = horizons.shape
        return Increments(np.zeros((*shape, len(LEVELS))), np.zeros(shape), np.zeros(shape))


if __name__ == "__main__":
    settings = load()
    telemetry.setup(settings, "forecaster")
    logging.getLogger("faust.worker").setLevel(logging.INFO)  # tells when a signal has come in
    metrics = CollectorRegistry()
    loaded = Loaded(TroubledForecaster(sys.argv[1], int(sys.argv[2])), CallCost(), digest="")
    # A batch is a call, however slow the model is.
    settings = settings.having(forecast_deadline=Duration(3600))
    application = agents.Application(ROLE, settings, metrics)
    application.consume(
        CASCADE_SNAPSHOTS,
        ForecastBatch(lambda: loaded, settings, metrics),
        size=settings.forecast_batch,
        wait=settings.forecast_wait,
    )
    agents.run(application)
