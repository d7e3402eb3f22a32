"""The heart: sends heartbeats into every partition of the input topics.

It is outside of every role that it tells of, the gateway too, which only reads. One is enough;
more do no harm. A beat is as old as the broker's taking of it, where the broker stamps the topic;
one that it cannot take holds up the next until it is through.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter as Tally

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.kafka.access.security import connection
from stream.kafka.broker import check_role, may_pass, partitions
from stream.processes.stopping import when_told
from stream.settings import Settings, SettingsError
from stream.telemetry import setup as telemetry
from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS
from topics.heartbeat import KEY

log = logging.getLogger(__name__)

ROLE = "heart"
INTO = (SOCIAL_EVENTS, EDGE_REQUESTS)


class Heart:
    """Beats until it is stopped.

    Attributes:
        sent: heartbeats that the broker has, by topic.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        """
        Raises:
            SettingsError: the settings ask for no heartbeats.
        """
        if settings.heartbeat <= 0:
            raise SettingsError("heartbeat: got 0s; expected more than 0 where a heart runs")
        self.sent: Tally[str] = Tally()
        self._settings = settings
        self._stop = asyncio.Event()
        self._beats = Counter(
            "tidecast_heart_sent_total", "Heartbeats that the broker has", ["topic"],
            registry=registry,
        )  # fmt: skip
        self._partitions = Gauge(
            "tidecast_heart_partitions", "Partitions that heartbeats are sent to", registry=registry
        )

    def stop(self) -> None:
        """Lets the beat in flight finish, then ends `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Sends to every partition, once an interval.

        Raises:
            BrokerError: a topic is missing, or the broker is not there.
            KafkaError: one that trying again does not help against.
        """
        places = await partitions(self._settings, [topic.name for topic in INTO])
        self._partitions.set(len(places))
        async with AIOKafkaProducer(**connection(self._settings), acks="all") as producer:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    now_ms = round(time.time() * 1000)
                    taken = [
                        await producer.send(
                            place.topic, None, KEY, partition=place.partition, timestamp_ms=now_ms
                        )
                        for place in places
                    ]
                    await asyncio.gather(*taken)
                except KafkaError as error:
                    if not may_pass(error):
                        raise
                    log.warning("a heartbeat was not taken (%s)", error)
                else:
                    for place in places:
                        self.sent[place.topic] += 1
                        self._beats.labels(place.topic).inc()
                rest = max(0.0, began + self._settings.heartbeat - time.monotonic())
                try:
                    await asyncio.wait_for(self._stop.wait(), rest)
                except TimeoutError:
                    continue


async def _run(settings: Settings, registry: CollectorRegistry) -> None:
    await check_role(settings, ROLE)
    heart = Heart(settings, registry)
    when_told(lambda _: heart.stop())
    log.info("%s beats every %g s on %s", ROLE, settings.heartbeat, settings.kafka)
    await heart.run()
    log.info("%s stopped", ROLE)


def main(settings: Settings) -> None:
    """Runs the heart until it is told to stop.

    Raises:
        BrokerError: a topic is missing, or the broker is not there.
        SettingsError: the settings ask for no heartbeats.
    """
    telemetry.setup(settings, ROLE)
    registry = CollectorRegistry()
    telemetry.serve(registry, settings)
    asyncio.run(_run(settings, registry))
