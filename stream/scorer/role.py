"""The scorer: forecasts and outcomes in, scores and corrections of the forecasts out.

    popularity.forecasts ─┐
    shadow.forecasts ─────┼─► ScoreBatch, by partition ──► forecast.scores ──► Calibrator
    cascade.outcomes ─────┘         │       ▲                                      │
                                    ▼       │ at a start                           ▼
                                  scorer.ledger                             model.calibration

All that concerns a cascade lies in the partition of one number, whatever the topic, and a worker is
given all of that number: Faust assigns topics of as many partitions together. What waits for its
counterpart is state that no message carries. It is written to the ledger with the scores of its
batch, before the batch is committed, so a worker that is given a partition reads the ledger of it
and goes on. That is what a table of Faust does with its changelog, but under this house's rule that
outputs are acknowledged before what caused them is committed. Reading the sources again instead
would lose forecasts: their topic is compacted by cascade.

A batch that was published and not committed is repeated, and gives the same scores again, for a
score is a function of its forecast and its outcome (`stream.scorer.join`).

    ScorerError(TidecastError)    the topics are not partitioned alike
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from stream.kafka import broker
from stream.kafka.past import END, TakeIn, decoded, reread
from stream.scorer.calibrator import Calibrator
from stream.scorer.drift import InputDrift
from stream.scorer.join import ScoredPartition, Taken, awaited
from stream.settings import Settings
from stream.telemetry import setup as telemetry
from stream.telemetry.families import Families
from stream.workers import agents
from stream.workers.agents import Received, passed_by_partition
from stream.workers.heartbeats import parted
from stream.workers.publishing.output import Output, dead_letter
from topics.catalogue import (
    CASCADE_OUTCOMES,
    FORECAST_SCORES,
    POPULARITY_FORECASTS,
    SCORER_LEDGER,
    SHADOW_FORECASTS,
    Topic,
)
from topics.codecs import DecodeError
from topics.errors import TidecastError

log = logging.getLogger(__name__)

ROLE = "scorer"
MESSAGES_A_BATCH = 1_000
READ = (POPULARITY_FORECASTS, SHADOW_FORECASTS, CASCADE_OUTCOMES)
_TOPICS = {topic.name: topic for topic in READ}

# Gives the ledger of a partition to a function, and says how many entries there were.
ReadLedger = Callable[[int, TakeIn], int]


class ScorerError(TidecastError):
    """The topics are not partitioned alike."""


class Metrics:
    """What batches export."""

    def __init__(self, registry: CollectorRegistry) -> None:
        families = Families("scorer", registry)
        counter, seconds = families.counter, families.seconds
        self.read = counter("records", "Records read", ["topic"])
        self.scored = counter("scored", "Scores published, repeats included")
        self.repeats = counter("repeats", "Forecasts and outcomes read again")
        self.refused = counter("refused", "Forecasts and outcomes that found no room")
        self.moved = counter("moved", "Pairs whose cascade was published at another time")
        self.unmatched = counter("unmatched", "Horizons that no outcome came for")
        self.rebuilt = counter("rebuilt_entries", "Entries of the ledger read to rebuild state")
        self.dead_letters = counter("dead_letters", "Records that could not be used")
        self.awaited = families.gauge("awaited", "Forecasts and outcomes that are held")
        self.compute = seconds("compute", "Time to answer a batch")
        self.queue = seconds("queue", "From the record's Kafka timestamp to the batch's start")


class ScoreBatch:
    """Turns a batch of messages of one topic into scores, ledger entries and dead letters.

    Args:
        settings: how long and how much is held.
        read_ledger: gives it what a partition held before.
        tenure: counts the assignments of partitions to this worker: with each, state that another
            may have carried on is dropped.
        registry: where the metrics go.
    """

    def __init__(
        self,
        settings: Settings,
        read_ledger: ReadLedger,
        tenure: Callable[[], int],
        registry: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._read_ledger = read_ledger
        self._tenure = tenure
        self._held_since = tenure()
        self._partitions: dict[int, ScoredPartition] = {}
        self._metrics = Metrics(registry)
        self._drift = InputDrift(settings, registry)
        self._told: Tally[str] = Tally()

    def __call__(self, messages: Sequence[Received]) -> list[tuple[int, Output]]:
        """The outputs of the messages, each beside the partition of the message it answers."""
        if self._held_since != self._tenure():
            self._held_since = self._tenure()
            self._partitions.clear()
            self._told.clear()
        outputs: list[tuple[int, Output]] = []
        messages, heartbeats = parted(messages)
        now = time.time()
        with self._metrics.compute.time():
            for message in messages:
                self._metrics.read.labels(message.topic).inc()
                self._metrics.queue.observe(max(0.0, now - message.timestamp / 1000))
                outputs += [(message.partition, output) for output in self._answer(message)]
            for number in {message.partition for message in messages}:
                self._partition(number).expire()
        self._count()
        come = [
            heartbeat for heartbeat in heartbeats if heartbeat.topic == POPULARITY_FORECASTS.name
        ]
        return outputs + passed_by_partition(come, FORECAST_SCORES)

    def _answer(self, message: Received) -> list[Output]:
        partition = self._partition(message.partition)
        try:
            record = _TOPICS[message.topic].codec.decode(message.value)
        except DecodeError as error:
            self._metrics.dead_letters.inc()
            return [dead_letter(message, ROLE, DecodeError.__name__, str(error))]
        if message.topic == CASCADE_OUTCOMES.name:
            return self._outputs(message, record.cascade_id, partition.take_outcome(record))
        shadow = message.topic == SHADOW_FORECASTS.name
        if not shadow:
            self._drift.take(record)
        taken = partition.take_forecast(awaited(record, shadow))
        return self._outputs(message, record.cascade_id, taken)

    def _outputs(self, message: Received, cascade_id: str, taken: Taken) -> list[Output]:
        self._metrics.scored.inc(len(taken.scores))
        key = cascade_id.encode()

        def output(topic: Topic, value: bytes) -> Output:
            return Output(topic.name, key, value, message.timestamp)

        encode = FORECAST_SCORES.codec.encode
        outputs = [output(FORECAST_SCORES, encode(score)) for score in taken.scores]
        if taken.entry is not None:
            outputs.append(output(SCORER_LEDGER, taken.entry))
        return outputs

    def _partition(self, number: int) -> ScoredPartition:
        """The state of a partition, from the ledger where it is not at hand."""
        partition = self._partitions.get(number)
        if partition is not None:
            return partition
        settings = self._settings
        held = ScoredPartition(settings.score_patience, settings.max_awaited)

        def take_in(records: Sequence[ConsumerRecord]) -> None:
            for entry in decoded(SCORER_LEDGER, records):
                held.take_entry(entry)
            held.expire()

        started = time.monotonic()
        count = self._read_ledger(number, take_in)
        held.repeats = held.refused = held.moved = held.unmatched = 0
        self._metrics.rebuilt.inc(count)
        if count:
            log.info(
                "partition %d: %d entries of the ledger read in %.1f s, %d are held",
                number, count, time.monotonic() - started, held.entries,
            )  # fmt: skip
        self._partitions[number] = held
        return held

    def _count(self) -> None:
        metrics, partitions = self._metrics, self._partitions.values()
        for name in ("repeats", "refused", "moved", "unmatched"):
            total = sum(getattr(partition, name) for partition in partitions)
            getattr(metrics, name).inc(total - self._told[name])
            self._told[name] = total
        metrics.awaited.set(sum(partition.entries for partition in partitions))


async def check_partitions(settings: Settings) -> None:
    """Sees that what belongs together can lie together.

    Raises:
        BrokerError: no broker answers, or a topic is missing.
        ScorerError: the topics have different numbers of partitions.
    """
    names = [topic.name for topic in (*READ, SCORER_LEDGER, FORECAST_SCORES)]
    counts = Tally(source.topic for source in await broker.partitions(settings, names))
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        raise ScorerError(
            f"got partitions {told}; the scorer joins by partition and needs as many of each: "
            "give all the number that the largest has"
        )


def _end_where_they_differ(application: agents.Application) -> None:
    """Has it end once partitions are added so that what belongs together may lie apart."""

    async def check(_: Any, assigned: set[Any], **__: Any) -> None:
        try:
            await check_partitions(application.given)
        except ScorerError as error:
            await application.crash(error)
        except (broker.BrokerError, KafkaError) as error:
            log.warning("whether topics have as many partitions is not told (%s)", error)

    application.on_partitions_assigned.connect(check, weak=False)


def main(settings: Settings) -> None:
    """Runs the scorer until it is told to stop.

    Raises:
        BrokerError: no broker answers, or a topic is missing.
        ScorerError: the topics have different numbers of partitions.
    """
    telemetry.setup(settings, ROLE)
    metrics = CollectorRegistry()
    telemetry.serve(metrics, settings)
    asyncio.run(broker.check_role(settings, ROLE))
    asyncio.run(check_partitions(settings))
    application = agents.Application(ROLE, settings, metrics)

    def read_ledger(number: int, take_in: TakeIn) -> int:
        return reread(settings, SCORER_LEDGER, number, 0, END, take_in)

    _end_where_they_differ(application)
    compute = ScoreBatch(settings, read_ledger, lambda: application.tenure, metrics)
    for topic in READ:
        application.consume(topic, compute, size=MESSAGES_A_BATCH, wait=settings.forecast_wait)
    application.task(Calibrator(settings, metrics).run)
    agents.run(application)
