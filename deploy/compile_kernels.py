"""Compiles the kernels of every role into `NUMBA_CACHE_DIR`, by a small run of each.

The image does this while it is built, so that a role does not start with a minute of compiling.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.caches.decayed import DecayedCountRanker
from models.cascades.graphwave import graphwave
from models.extras import MissingExtraError
from stream.historian.histories import EdgeHistories
from stream.ranker.decisions import EdgeDecisions
from stream.settings import Duration, Settings
from stream.sources.messages import EVENTS, Limited, Message
from stream.sources.simulate import Simulation
from stream.tracker.store import CascadeStore
from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS
from topics.records import CascadeSnapshot


def compile_kernels(settings: Settings) -> None:
    """Sends a short simulation through what the roles are made of."""
    messages = [message for batch in Limited(Simulation(), 20_000) for message in batch]
    shares = [message for message in messages if message.topic == EVENTS]
    views = [message for message in messages if message.topic != EVENTS]

    store = CascadeStore(settings)
    events = [SOCIAL_EVENTS.codec.decode(message.value) for message in shares]
    fired = store.ingest(events, received(shares)).fired
    store.graph(events[-1].cascade_id)
    store.advance(messages[-1].timestamp + settings.horizons[-1])

    snapshots = [record for record, *_ in fired if isinstance(record, CascadeSnapshot)]
    horizons = np.array(settings.horizons, np.float64)
    for name in registry.list_forecasters():
        with suppress(MissingExtraError):  # its answers are PyTorch's
            registry.load(name).forecast(snapshots, horizons)
    graphwave(snapshots)  # of networks that read structure, which ship with none

    histories = EdgeHistories(settings)
    requests = [EDGE_REQUESTS.codec.decode(message.value) for message in views]
    closed = histories.ingest(requests, received(views)).closed
    for make in (DecayedCountRanker, registry.load_ranker("cachemamba").ranker):
        edges: dict[str, EdgeDecisions] = {}
        for window, _ in closed:
            if window.edge_id not in edges:
                edges[window.edge_id] = EdgeDecisions(window.edge_id, make(), settings)
            edges[window.edge_id].step(window, produced_at=window.start)


def received(messages: list[Message]) -> NDArray[np.float64]:
    """When each message came, as if at once."""
    return np.array([message.timestamp for message in messages])


if __name__ == "__main__":
    # Short windows, and small messages, so that windows close and are cut.
    compile_kernels(Settings(window=Duration(20), message_bytes=4_000))
