"""From scores to corrections: what `forecast.scores` says of each version, and what follows.

A correction is for all partitions, so one worker works it out from the scores of all of them: the
first of a group of its own, in which Kafka sees to it that there is another when it is gone. It
runs in the event loop of the scorer, batch by batch:

    scores -> corrections, drift, quality -> model.calibration, acknowledged -> commit -> next

A record on `model.calibration` is the whole state of its cell and says up to which scores it
counts. Who takes over reads them and goes on from there, so each score is counted once, whatever
was repeated. Quality and drift begin anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import (
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge

from models.judging.conformal import Tracked, age_bucket
from stream.kafka.access.security import connection
from stream.kafka.all_to_one import AllToOne
from stream.kafka.broker import may_pass
from stream.kafka.past import END, decoded, reread_here
from stream.kafka.reader import reader
from stream.scorer.drift import ErrorDrift
from stream.scorer.join import increment_log2, own_point
from stream.scorer.quality import Quality
from stream.settings import Settings
from stream.workers.heartbeats import parted
from topics.catalogue import FORECAST_SCORES, MODEL_CALIBRATION, calibration_key
from topics.codecs import DecodeError
from topics.records import ForecastScore, ModelCalibration

log = logging.getLogger(__name__)

GROUP = "calibrator"
_POLL_MS = 500
_SCORES_A_BATCH = 5_000
_PAUSE = 0.2  # between batches: corrections need not be newer
_RETRY_SECONDS = 1.0
_REMEMBERED = 20_000  # scores by which repeats are known


class Cell(NamedTuple):
    """What has a correction of its own."""

    model: str
    version: str
    horizon: float
    age: str


class Calibration:
    """The corrections, a function of the scores in the order of their partitions.

    Args:
        horizons: whose corrections are kept; others, of cascades that woke late, differ each time.
    """

    def __init__(self, horizons: Iterable[float]) -> None:
        self._horizons = set(map(float, horizons))
        self._cells: dict[Cell, Tracked] = {}
        self._counted: dict[Cell, Sequence[int]] = {}  # what each had counted when it was read
        self._position: dict[int, int] = {}
        self._recent: dict[tuple[str, float], None] = {}

    def restore(self, record: ModelCalibration, ends: Mapping[int, int]) -> None:
        """Takes up a cell where its record left it.

        Args:
            ends: offsets of the ends of `forecast.scores`; a topic that ends before what was
                counted was made anew.
        """
        cell = Cell(record.model, record.model_version, record.horizon, record.age_bucket)
        self._cells[cell] = Tracked(
            record.lower_correction, record.correction, record.coverage, record.own_coverage,
            record.sample_size, record.shift,
        )  # fmt: skip
        self._counted[cell] = [
            0 if offset > ends.get(number, 0) else offset
            for number, offset in enumerate(record.counted)
        ]

    def take(self, partition: int, offset: int, score: ForecastScore) -> Cell | None:
        """Takes in a score; the cell that it counts for, None where it does not count."""
        self._position[partition] = offset + 1
        if score.degraded or score.horizon not in self._horizons:
            return None
        if not self.remember(score):
            return None
        cell = Cell(score.model, score.model_version, score.horizon, age_bucket(score.age))
        counted = self._counted.get(cell, ())
        if partition < len(counted) and offset < counted[partition]:
            return None
        observed = score.observed_count
        self._cells.setdefault(cell, Tracked()).update(
            increment_log2(score.realised, observed),
            own_point(score),
            increment_log2(score.own_low, observed),
            increment_log2(score.own_high, observed),
            score.inside_interval,
        )
        return cell

    def remember(self, score: ForecastScore) -> bool:
        """Whether the score is new; from now on one that repeats it does not count.

        Who takes over is given those that were counted last: a scorer that died before its commit
        repeats them behind the offset from which the successor counts.
        """
        pair = (score.forecast_id, score.horizon)
        if pair in self._recent:
            return False
        self._recent[pair] = None
        if len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]
        return True

    def record(self, cell: Cell) -> ModelCalibration:
        """What is published of a cell."""
        tracked = self._cells[cell]
        return ModelCalibration(
            *cell,
            correction=tracked.upper,
            coverage=tracked.coverage,
            sample_size=tracked.sample_size,
            lower_correction=tracked.lower,
            own_coverage=tracked.own_coverage,
            shift=tracked.shift,
            counted=[
                self._position.get(number, 0)
                for number in range(max(self._position, default=-1) + 1)
            ],
        )

    def start(self, positions: Mapping[int, int]) -> None:
        """Says from which offsets scores will come."""
        self._position.update(positions)


class Calibrator(ConsumerRebalanceListener):
    """Follows `forecast.scores` and publishes `model.calibration`. Give `run` to an event loop."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._calibration = Calibration(settings.horizons)
        self._quality = Quality(settings.horizons, registry)
        self._drift = ErrorDrift(registry)
        self._batch = asyncio.Lock()
        self._tenure = 0
        self._counted = Counter(
            "tidecast_scorer_calibrated_total", "Scores that corrections were learnt from",
            registry=registry,
        )  # fmt: skip
        self._corrections = Gauge(
            "tidecast_scorer_interval_correction_log2", "By how much an end is moved outwards",
            ["model", "version", "horizon", "age", "end"], registry=registry,
        )  # fmt: skip
        self._shifts = Gauge(
            "tidecast_scorer_point_correction_log2",
            "By how much the point and all quantiles are moved",
            ["model", "version", "horizon", "age"], registry=registry,
        )  # fmt: skip

    async def run(self) -> None:
        """Follows for ever.

        Raises:
            KafkaError: one that trying again does not help against.
        """
        while True:
            try:
                await self._follow()
            except KafkaError as error:
                if not may_pass(error):
                    raise
                log.warning("%s cannot be followed (%s); trying again", FORECAST_SCORES.name, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        settings = self._settings
        producer = AIOKafkaProducer(**connection(settings), acks="all")
        self._consumer = reader(
            settings,
            group_id=settings.group(GROUP),
            client_id=f"{settings.group(GROUP)}.{settings.instance}",
            group_instance_id=f"{GROUP}-{settings.instance}",
            auto_offset_reset="earliest",
            partition_assignment_strategy=(AllToOne,),
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.session_timeout * 100),
        )
        async with producer, self._consumer:
            self._consumer.subscribe([FORECAST_SCORES.name], listener=self)
            while True:
                fetched = await self._consumer.getmany(
                    timeout_ms=_POLL_MS, max_records=_SCORES_A_BATCH
                )
                if fetched:
                    await self._step(producer, fetched)
                    await asyncio.sleep(_PAUSE)

    async def _step(
        self,
        producer: AIOKafkaProducer,
        fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]],
    ) -> None:
        """One batch: taken in, published, committed."""
        tenure = self._tenure
        async with self._batch:
            if tenure != self._tenure:
                return  # fetched before a rebalance
            changed = self._take(fetched)
            sent = []
            for cell in changed:
                record = self._calibration.record(cell)
                sent.append(
                    await producer.send(
                        MODEL_CALIBRATION.name, MODEL_CALIBRATION.codec.encode(record),
                        key=calibration_key(*cell),
                    )
                )  # fmt: skip
                labels = (*cell[:2], f"{cell.horizon:g}", cell.age)
                self._shifts.labels(*labels).set(record.shift)
                for end, value in (("low", record.lower_correction), ("high", record.correction)):
                    self._corrections.labels(*labels, end).set(value)
            await asyncio.gather(*sent)
            ends = {source: records[-1].offset + 1 for source, records in fetched.items()}
            try:
                await self._consumer.commit(ends)
            except (CommitFailedError, IllegalStateError) as error:
                log.warning("another worker calibrates from now on (%s)", error)

    def _take(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> dict[Cell, None]:
        """The cells that a batch changes, in order."""
        changed: dict[Cell, None] = {}
        counted: list[ForecastScore] = []
        for source, records in fetched.items():
            for record in parted(records)[0]:
                try:
                    score = FORECAST_SCORES.codec.decode(record.value)
                except DecodeError as error:
                    log.error("%s, offset %d: %s", source, record.offset, error)
                    continue
                cell = self._calibration.take(source.partition, record.offset, score)
                if cell is not None:
                    changed[cell] = None
                if cell is not None or score.degraded:
                    counted.append(score)
        self._counted.inc(len(counted))
        self._quality.take(counted)
        self._drift.take(counted)
        return changed

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Waits for the batch in flight."""
        async with self._batch:
            self._tenure += 1

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Takes up the corrections where the last worker left them."""
        sources = sorted(assigned)
        async with self._batch:
            self._tenure += 1
            if not sources:
                return
            ends = await self._consumer.end_offsets(sources)
            calibration = Calibration(self._settings.horizons)

            def take_in(records: Sequence[ConsumerRecord]) -> None:
                for record in decoded(MODEL_CALIBRATION, records):
                    calibration.restore(
                        record, {source.partition: end for source, end in ends.items()}
                    )

            await reread_here(self._settings, MODEL_CALIBRATION, 0, 0, END, take_in)
            committed = {s.partition: await self._consumer.committed(s) or 0 for s in sources}
            calibration.start(committed)

            def remember(records: Sequence[ConsumerRecord]) -> None:
                for score in decoded(FORECAST_SCORES, records):
                    calibration.remember(score)

            for number, end in committed.items():
                first = max(0, end - _REMEMBERED // len(sources))
                await reread_here(self._settings, FORECAST_SCORES, number, first, end, remember)
            self._calibration = calibration
            log.info("this worker calibrates, from %d partitions", len(sources))
