"""The forecaster: snapshots of cascades in, forecasts of their popularity out.

Each snapshot is answered at every horizon that lies beyond its age; one past the last horizon, of
a cascade that woke late, at its age and the last horizon together. The id of a forecast is a
function of the snapshot and of the model's version, so a repeat after a crash is recognised. A
forecast carries the header `event_timestamp`, the Kafka timestamp (milliseconds) of the event that
caused its snapshot; the message's own timestamp is when it was published, and the difference of
the two is how long the way was.

    model.updates ── model_watch ──► serving: the version that answers
    model.calibration ── watch ────► corrections of its forecasts
                                        │
    cascade.snapshots ── batch ──► forecast_batch: calls that keep a deadline
                           │            └──► popularity.forecasts, commit
                           └─ then ► shadows ──► shadow.forecasts
"""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry

from stream.forecaster.batch import ROLE, ForecastBatch, fall_back
from stream.forecaster.corrections import Corrections
from stream.forecaster.shadows import Shadows
from stream.kafka.watch import Watch
from stream.serving.current import of_forecaster
from stream.serving.model_watch import ModelWatch
from stream.settings import Settings
from stream.telemetry import setup as telemetry
from stream.workers import agents
from topics.catalogue import CASCADE_SNAPSHOTS, MODEL_CALIBRATION


def main(settings: Settings) -> None:
    """Runs the forecaster until it is told to stop.

    Raises:
        BrokerError: no broker answers, or a topic is missing.
        RegistryError: no version of the model can be had.
    """
    telemetry.setup(settings, ROLE)
    metrics = CollectorRegistry()
    # What a model compiles takes seconds: before the group counts on this worker.
    watch = ModelWatch(settings, settings.forecaster)
    serving = of_forecaster(settings, watch.updates, metrics)
    corrections = Corrections(settings.horizons)
    calibration = Watch(settings, MODEL_CALIBRATION, corrections.take_in)
    compute = ForecastBatch(serving.current, settings, metrics, fall_back(settings), corrections)
    shadows = Shadows(serving.current, settings, metrics, corrections)
    telemetry.serve(metrics, settings)
    application = agents.Application(ROLE, settings, metrics)
    application.consume(
        CASCADE_SNAPSHOTS, compute,
        size=settings.forecast_batch, wait=settings.forecast_wait, afterwards=shadows,
    )  # fmt: skip
    watch.start(serving)
    calibration.start()
    threading.Thread(target=shadows.load, name="shadows", daemon=True).start()
    try:
        agents.run(application)
    finally:
        watch.stop()
        calibration.stop()
