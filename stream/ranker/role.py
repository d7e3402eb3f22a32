"""The ranker: windows of requests in, decisions about each edge's cache out.

A version of the model that is published on `model.updates` is loaded beside the old one and takes
over between two batches: the edges are rebuilt with it from the windows. What the old one decided
and the new one does not repeat expires by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from prometheus_client import CollectorRegistry

from stream.checkpoints.recovery import Recovery
from stream.kafka.past import reread
from stream.ranker.batch import ROLE, RankBatch
from stream.ranker.held import HeldPartitions
from stream.ranker.metrics import Metrics
from stream.serving.current import Serving
from stream.serving.model_watch import ModelWatch
from stream.serving.rankers import DECAYED, LoadedRanker, MakeRanker, decayed, of_ranker
from stream.settings import Settings
from stream.telemetry import setup as telemetry
from stream.workers import agents
from topics.catalogue import EDGE_WINDOWS

WINDOWS_A_BATCH = 64


def main(settings: Settings) -> None:
    """Runs the ranker until it is told to stop."""
    telemetry.setup(settings, ROLE)
    registry = CollectorRegistry()
    telemetry.serve(registry, settings)
    metrics = Metrics(settings, registry)
    current, watch = _model(settings, registry)
    application = agents.Application(ROLE, settings, registry)

    def assigned() -> set[int]:
        return {source.partition for source in application.consumer.assignment()}

    read = partial(reread, settings, EDGE_WINDOWS)
    recovery = Recovery(EDGE_WINDOWS, settings.group(ROLE), settings, registry)
    held = HeldPartitions(settings, current, read, assigned, recovery, metrics.rebuilt)
    application.consume(
        EDGE_WINDOWS, RankBatch(settings, held, metrics),
        size=WINDOWS_A_BATCH, wait=settings.forecast_wait,
        afterwards=held.write_due, give_up=held.give_up,
    )  # fmt: skip
    with watch:
        agents.run(application)


@contextmanager
def _followed(watch: ModelWatch, serving: Serving[LoadedRanker]) -> Iterator[None]:
    watch.start(serving)
    try:
        yield
    finally:
        watch.stop()


def _model(
    settings: Settings, metrics: CollectorRegistry
) -> tuple[Callable[[], MakeRanker], AbstractContextManager[None]]:
    """What makes rankers now, and what follows its updates while it is entered."""
    if settings.ranker == DECAYED:
        make = decayed(settings)
        return lambda: make, nullcontext()
    watch = ModelWatch(settings, settings.ranker)
    serving = of_ranker(settings, watch.updates, metrics)
    return lambda: serving.current().make, _followed(watch, serving)
