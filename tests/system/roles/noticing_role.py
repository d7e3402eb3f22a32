"""A model role that notices each message it takes: `python noticing_role.py`.

Nothing else of the product notes in the thread of its model; the way out is the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from stream.settings import load
from stream.telemetry import setup as telemetry
from stream.workers import agents
from stream.workers.agents import Received
from stream.workers.publishing.output import Output
from topics.catalogue import CASCADE_SNAPSHOTS

ROLE = "forecaster"

if __name__ == "__main__":
    settings = load()
    telemetry.setup(settings, ROLE)
    application = agents.Application(ROLE, settings, CollectorRegistry())

    def compute(messages: Sequence[Received]) -> list[tuple[int, Output]]:
        for message in messages:
            application.notices.note(
                "records_lost", message.topic, message.partition, "Noticed.", offset=message.offset
            )
        return []

    application.consume(CASCADE_SNAPSHOTS, compute, size=1, wait=0.01)
    agents.run(application)
