"""`tidecast doctor` finds what is wrong and says what to do."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions

from stream.doctor.checks import Finding, examine
from stream.http.listening import free_port
from stream.kafka.broker import connect_admin, create_topics, partitions
from stream.telemetry.notices import KINDS
from tests.patience import until
from tests.system import environment
from tests.system.conftest import Cluster
from tests.system.tracker_log import stamped_by_senders
from topics.catalogue import EDGE_REQUESTS, ROLE_NOTICES, SOCIAL_EVENTS
from topics.heartbeat import KEY
from topics.records import EdgeRequest, RoleNotice, SocialEvent

pytestmark = pytest.mark.system


def told(findings: list[Finding], level: str) -> str:
    return "\n".join(f"{f.what}\n{f.to_do}" for f in findings if f.level == level)


@pytest.mark.both
async def test_all_is_well(cluster: Cluster) -> None:
    findings = await examine(cluster.settings)
    assert {finding.level for finding in findings} == {"ok"}
    assert "model served" in told(findings, "ok")


async def test_no_broker(cluster: Cluster) -> None:
    findings = await examine(cluster.settings.having(kafka=f"127.0.0.1:{free_port()}"))
    assert "tidecast broker" in told(findings, "wrong")


async def test_topics_missing_or_of_another_size(bare_cluster: Cluster) -> None:
    findings = await examine(bare_cluster.settings)
    assert "topics are missing: social.events" in told(findings, "wrong")
    assert "tidecast topics create" in told(findings, "wrong")
    await create_topics(bare_cluster.settings)
    findings = await examine(bare_cluster.settings.having(partitions=8))
    assert "social.events: has 4 partitions; the setting says 8" in told(findings, "warning")


async def test_input_that_is_stamped_by_its_senders(cluster: Cluster) -> None:
    await stamped_by_senders(cluster.settings, [EDGE_REQUESTS])
    findings = await examine(cluster.settings)
    assert "edge.requests: messages are stamped by their senders" in told(findings, "warning")
    assert "message.timestamp.type=LogAppendTime" in told(findings, "warning")
    assert "social.events" not in told(findings, "warning")


async def test_topics_that_cannot_be_joined(cluster: Cluster) -> None:
    admin = await connect_admin(cluster.settings)
    await admin.create_partitions({"cascade.outcomes": NewPartitions(6)})
    await admin.close()

    async def are_made() -> bool:
        return len(await partitions(cluster.settings, ["cascade.outcomes"])) == 6

    await until(are_made, "partitions to be made")
    findings = await examine(cluster.settings)
    assert "the scorer joins by partition" in told(findings, "wrong")
    assert "cascade.outcomes 6" in told(findings, "wrong")


@pytest.mark.both
async def test_topics_that_take_less_than_roles_may_write(cluster: Cluster) -> None:
    findings = await examine(cluster.settings.having(message_bytes=4_000_000))
    assert "cascade.snapshots: takes messages of at most 10" in told(findings, "warning")
    assert "--entity-name cascade.snapshots --add-config max.message.bytes=40" in told(
        findings, "warning"
    )


async def test_a_model_that_is_not_there(cluster: Cluster) -> None:
    findings = await examine(cluster.settings.having(forecaster="oracle"))
    assert "oracle" in told(findings, "wrong")


async def test_cascades_that_are_scattered_and_keys_that_are_missing(cluster: Cluster) -> None:
    """A cascade without keys in every partition, and one that another partitioner put elsewhere."""
    now = time.time()
    sent = [
        (SOCIAL_EVENTS, number % 4, None, SocialEvent("bare", f"b{number}", "u", now, "share"))
        for number in range(8)
    ] + [
        (SOCIAL_EVENTS, number % 2, b"a [b]", SocialEvent("a [b]", f"e{number}", "u", now, "share"))
        for number in range(2)
    ] + [
        (EDGE_REQUESTS, 1, b'"lyon"', EdgeRequest("lyon", "o", now)),
        (EDGE_REQUESTS, 3, b"lyon", EdgeRequest("lyon", "o", now)),
    ]  # fmt: skip
    async with AIOKafkaProducer(bootstrap_servers=cluster.settings.kafka) as producer:
        for topic, partition, key, record in sent:
            value = topic.codec.encode(record)
            await producer.send_and_wait(topic.name, value, key, partition)
            await producer.send_and_wait(topic.name, None, KEY, partition)
    found = told(await examine(cluster.settings), "warning")
    assert "social.events, the newest messages: 8 of 10 messages have no key" in found
    assert "those of 2 cascade_id lie in several partitions ('bare' in 0, 1, 2, 3" in found
    assert "'a [b]' in 0, 1" in found
    assert "edge.requests, the newest messages: 1 of 2 messages has a key that is not" in found
    assert "in quotes, as a JSON serialiser writes it" in found
    assert "those of 1 edge_id lie in several partitions ('lyon' in 1, 3)" in found
    assert KINDS["no_key"].to_do in found and KINDS["scattered"].to_do in found
    command = ["-m", "stream", "doctor", "--kafka", cluster.settings.kafka]
    done = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdout=asyncio.subprocess.PIPE,
        env=environment.environment(cluster.settings),
    )
    output, _ = await done.communicate()
    assert b"'a [b]' in 0, 1" in output


async def test_what_roles_noticed_in_the_last_hour(cluster: Cluster) -> None:
    now = time.time()
    notices = [
        RoleNotice(
            "tracker", "0", "records_lost", "social.events", 2, 120, now - ago, now - ago, message
        )
        for ago, message in (
            (4_000.0, "Long ago."),
            (20.0, "Records 0 to 99 were gone."),
            (10.0, "Records 0 to 119 were gone."),
        )
    ]  # fmt: skip
    await cluster.publish(
        ROLE_NOTICES, [("k", ROLE_NOTICES.codec.encode(notice)) for notice in notices]
    )
    found = told(await examine(cluster.settings), "warning")
    assert "social.events, partition 2; 120 so far" in found
    assert "Records 0 to 119 were gone." in found
    assert "0 to 99" not in found and "Long ago" not in found
    assert KINDS["records_lost"].to_do in found
