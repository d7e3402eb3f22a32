"""Topics as they are on Apache Kafka, once they are made."""

from __future__ import annotations

import time

import pytest

from stream.kafka.broker import configured, describe
from tests.system.conftest import Cluster
from topics.catalogue import BROKER, CATALOGUE, STAMPED_BY

pytestmark = [pytest.mark.system, pytest.mark.apache]

BY_BROKER = 1  # a record's timestamp_type


async def test_they_have_the_settings_and_partitions_of_the_catalogue(cluster: Cluster) -> None:
    settings = cluster.settings
    described = await describe(settings, CATALOGUE)
    assert {name: len(one["partitions"]) for name, one in described.items()} == {
        name: settings.partitions if topic.partitioned else 1 for name, topic in CATALOGUE.items()
    }
    for entry in {name for topic in CATALOGUE.values() for name in topic.configs()}:
        wanted = {name: topic.configs().get(entry) for name, topic in CATALOGUE.items()}
        got = await configured(settings, CATALOGUE, entry)
        assert {name: got[name] for name, value in wanted.items() if value} == {
            name: value for name, value in wanted.items() if value
        }, entry


async def test_who_stamps_messages_is_as_the_catalogue_says(cluster: Cluster) -> None:
    second = int(time.time())  # no broker stamps by whole seconds
    for topic in CATALOGUE.values():
        await cluster.publish(topic, [("key", b"value")], sent_at=second)
        [record] = await cluster.read(topic)
        by_broker = topic.configs().get(STAMPED_BY) == BROKER
        assert (record.timestamp_type == BY_BROKER) == by_broker, topic.name
        assert (record.timestamp == 1000 * second) != by_broker, topic.name
