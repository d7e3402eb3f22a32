"""A role that cannot start says why and what to do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from stream.broker import BrokerError, check_role, create_topics, embedded, free_port
from stream.settings import Duration, Settings
from tests.system.conftest import Cluster

pytestmark = pytest.mark.system


async def test_without_a_broker_a_role_waits_but_not_for_ever(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = cluster.settings.having(kafka=f"127.0.0.1:{free_port()}", broker_patience=Duration(3))
    began = time.monotonic()
    with pytest.raises(BrokerError, match=r"no Kafka broker answers .* `tidecast broker`"):
        await check_role(nowhere, "forecaster")
    assert time.monotonic() - began > 3
    assert "nothing listens there" in caplog.text and "the forecaster waits" in caplog.text


async def test_a_role_that_waited_goes_on_once_the_broker_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    waits = asyncio.create_task(check_role(Settings(kafka=f"127.0.0.1:{port}"), "tracker"))
    while "the tracker waits" not in caplog.text:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    with embedded(tmp_path, port) as (address, _):
        await create_topics(Settings(kafka=address))
        await waits


async def test_without_its_topics_no_role_starts(bare_cluster: Cluster) -> None:
    with pytest.raises(BrokerError, match=r"cascade\.snapshots, dead\.letters.*topics create"):
        await check_role(bare_cluster.settings, "forecaster")


async def test_topics_are_created_once(bare_cluster: Cluster) -> None:
    assert "social.events" in await create_topics(bare_cluster.settings)
    assert await create_topics(bare_cluster.settings) == []
    await check_role(bare_cluster.settings, "tracker")
