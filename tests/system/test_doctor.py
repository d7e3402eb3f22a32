"""`tidecast doctor` finds what is wrong and says what to do."""

from __future__ import annotations

import pytest
from aiokafka.admin import NewPartitions

from stream.broker import connect_admin, create_topics, free_port
from stream.doctor import Finding, examine
from tests.system.conftest import Cluster

pytestmark = pytest.mark.system


def told(findings: list[Finding], level: str) -> str:
    return "\n".join(f"{f.what}\n{f.to_do}" for f in findings if f.level == level)


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


async def test_topics_that_cannot_be_joined(cluster: Cluster) -> None:
    admin = await connect_admin(cluster.settings)
    await admin.create_partitions({"cascade.outcomes": NewPartitions(6)})
    await admin.close()
    findings = await examine(cluster.settings)
    assert "the scorer joins by partition" in told(findings, "wrong")
    assert "cascade.outcomes 6" in told(findings, "wrong")


async def test_a_model_that_is_not_there(cluster: Cluster) -> None:
    findings = await examine(cluster.settings.having(forecaster="oracle"))
    assert "oracle" in told(findings, "wrong")
