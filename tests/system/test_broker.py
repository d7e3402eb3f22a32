"""A role that cannot start says why and what to do."""

from __future__ import annotations

import pytest

from stream.broker import BrokerError, check_role, create_topics, free_port
from tests.system.conftest import Cluster

pytestmark = pytest.mark.system


async def test_without_a_broker_no_role_starts(cluster: Cluster) -> None:
    nowhere = cluster.settings.having(kafka=f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerError, match=r"no Kafka broker answers .* `tidecast broker`"):
        await check_role(nowhere, "forecaster")


async def test_without_its_topics_no_role_starts(bare_cluster: Cluster) -> None:
    with pytest.raises(BrokerError, match=r"cascade\.snapshots, dead\.letters.*topics create"):
        await check_role(bare_cluster.settings, "forecaster")


async def test_topics_are_created_once(bare_cluster: Cluster) -> None:
    assert "social.events" in await create_topics(bare_cluster.settings)
    assert await create_topics(bare_cluster.settings) == []
    await check_role(bare_cluster.settings, "tracker")
