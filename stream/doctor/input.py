"""What `tidecast doctor` finds on the topics: what roles noticed, and how the newest input lies."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from stream.kafka.broker import BrokerError, configured, partitions
from stream.kafka.reader import reader
from stream.settings import Settings
from stream.sources.formats import format as formats
from stream.telemetry.noticed import lately
from stream.telemetry.notices import KINDS
from stream.workers import keys
from stream.workers.heartbeats import parted
from topics.catalogue import BROKER, EDGE_REQUESTS, ROLE_NOTICES, SOCIAL_EVENTS, STAMPED_BY, Topic
from topics.codecs import DecodeError
from topics.records import RoleNotice

INPUTS = (SOCIAL_EVENTS, EDGE_REQUESTS)
# The topics by what is on which anything is found.
LOOKED_AT = {ROLE_NOTICES.name, *(topic.name for topic in INPUTS)}
_NEWEST = 500  # messages of a partition that are looked at
_NOTICES = 10_000  # the newest; a key has one every few seconds at most
_SECONDS = 20.0
_NAMED = 3  # examples

# What was found: in words, and what to do.
Found = tuple[str, str]


async def found_on_topics(settings: Settings, topics: Iterable[str]) -> list[Found]:
    """Everything, of those of the topics that there are."""
    there = set(topics)
    found: list[Found] = []
    if ROLE_NOTICES.name in there:
        found += await _or_why_not(noticed(settings), ROLE_NOTICES)
    for topic in INPUTS:
        if topic.name in there:
            found += await _or_why_not(placed(settings, topic), topic)
            found += await _or_why_not(stamped(settings, topic), topic)
    return found


async def noticed(settings: Settings) -> list[Found]:
    """What roles noticed in the last hour.

    Raises:
        KafkaError: the topic cannot be read.
    """
    latest: dict[tuple[str, str, str, str, int], RoleNotice] = {}
    for record in (await newest(settings, ROLE_NOTICES, _NOTICES)).get(0, ()):
        try:
            notice: RoleNotice = ROLE_NOTICES.codec.decode(record.value)
        except DecodeError:
            continue  # not ours, or a newer version's: the gateway counts those
        place = notice.role, notice.instance, notice.kind, notice.topic, notice.partition
        latest[place] = notice
    return [(summary.text, summary.to_do) for summary in lately(latest.values(), time.time())]


async def stamped(settings: Settings, topic: Topic) -> list[Found]:
    """Whether the messages of an input topic have their senders' stamps.

    Raises:
        KafkaError: the broker does not answer.
    """
    by = (await configured(settings, [topic.name], STAMPED_BY)).get(topic.name, BROKER)
    if by == BROKER:
        return []
    return [
        (
            f"{topic.name}: messages are stamped by their senders ({by}), whose clocks may be "
            "wrong: which are of the future then hangs on when they are read",
            f"kafka-configs.sh --alter --entity-type topics --entity-name {topic.name} "
            f"--add-config {STAMPED_BY}={BROKER}",
        )
    ]


async def placed(settings: Settings, topic: Topic) -> list[Found]:
    """What the newest messages of an input topic show of their keys and where they lie.

    Raises:
        KafkaError: the topic cannot be read.
    """
    partitions = defaultdict(set)
    messages: list[ConsumerRecord] = []
    records = []
    for number, fetched in (await newest(settings, topic, _NEWEST)).items():
        for message in parted(fetched)[0]:
            try:
                found = formats.records(settings, topic, message.value)
            except DecodeError:
                continue  # a dead letter, of which others tell
            for record in found:
                messages.append(message)
                records.append(record)
                partitions[getattr(record, topic.key)].add(number)
    found = [
        (f"{topic.name}, the newest messages: {noticed.message}", KINDS[noticed.kind].to_do)
        for noticed in keys.noticed(messages, records, topic)
    ]
    return found + _scattered(topic, partitions.items())


def _scattered(topic: Topic, places: Iterable[tuple[str, set[int]]]) -> list[Found]:
    """Ids whose messages lie in several partitions."""
    several = [(name, numbers) for name, numbers in places if len(numbers) > 1]
    if not several:
        return []
    examples = "; ".join(
        f"{name!r} in {', '.join(map(str, sorted(numbers)))}" for name, numbers in several[:_NAMED]
    )
    told = (
        f"{topic.name}: of the newest messages, those of {len(several):,} {topic.key} lie in "
        f"several partitions ({examples}). {keys.COMES_OF_IT[topic.key]}."
    )
    return [(told, KINDS["scattered"].to_do)]


async def newest(
    settings: Settings, topic: Topic, count: int
) -> dict[int, Sequence[ConsumerRecord]]:
    """The newest messages of each partition, `count` at most, in order.

    Raises:
        KafkaError: they cannot be read.
        BrokerError: no broker answers, or the topic is missing.
    """
    sources = await partitions(settings, [topic.name])
    consumer = reader(settings, auto_offset_reset="earliest")
    found: dict[int, list[ConsumerRecord]] = defaultdict(list)
    deadline = time.monotonic() + _SECONDS
    async with consumer:
        consumer.assign(sources)
        ends = await consumer.end_offsets(sources)
        for source, first in (await consumer.beginning_offsets(sources)).items():
            consumer.seek(source, max(first, ends[source] - count))
        while time.monotonic() < deadline and any(
            [await consumer.position(source) < ends[source] for source in sources]
        ):
            for source, records in (await consumer.getmany(timeout_ms=200)).items():
                found[source.partition] += records
    return dict(found)


async def _or_why_not(finding: Awaitable[list[Found]], topic: Topic) -> list[Found]:
    try:
        return await finding
    except (KafkaError, BrokerError) as error:
        return [(f"{topic.name}: it cannot be looked at ({error})", "")]
