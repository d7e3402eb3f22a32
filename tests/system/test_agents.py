"""A model role that cannot start says why and what to do."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from stream import agents
from stream.broker import free_port
from stream.consumer import NotReadyError
from topics.catalogue import CASCADE_SNAPSHOTS

pytestmark = pytest.mark.system


def application(settings: Any) -> agents.Application:
    application = agents.Application("forecaster", settings)
    application.consume(CASCADE_SNAPSHOTS, lambda messages: [], size=10, wait=0.1)
    return application


async def test_without_a_broker_it_does_not_start(cluster: Any) -> None:
    nowhere = dataclasses.replace(cluster.settings, kafka=f"127.0.0.1:{free_port()}")
    with pytest.raises(NotReadyError, match=r"no Kafka broker answers .* `tidecast broker`"):
        await application(nowhere).check_ready()


async def test_without_its_topics_it_does_not_start(bare_cluster: Any) -> None:
    with pytest.raises(NotReadyError, match=r"cascade\.snapshots, dead\.letters.*topics create"):
        await application(bare_cluster.settings).check_ready()


async def test_with_both_it_is_ready(cluster: Any) -> None:
    await application(cluster.settings).check_ready()
