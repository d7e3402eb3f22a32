"""Access control lists on Apache Kafka: everybody works by those that are generated.

They are the least: all that may be used is used, and who lacks one of them says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from stream.gateway import address
from stream.http.listening import free_port
from stream.kafka.acls import Acl, acls
from stream.kafka.progress import READS, WORKED_OFF, WRITTEN
from stream.kafka.reader import reader
from stream.settings import Settings
from stream.sources.feed import connect
from stream.workers.output import TOO_LARGE
from tests.patience import until
from tests.system.conftest import Cluster
from tests.system.kafka.guarded import Guarded, guarded
from tests.system.roles.test_scorer import forecast, outcome
from topics.catalogue import (
    CASCADE_OUTCOMES,
    CATALOGUE,
    DEAD_LETTERS,
    EDGE_REQUESTS,
    POPULARITY_FORECASTS,
    ROLE_NOTICES,
    SOCIAL_EVENTS,
    Topic,
)

pytestmark = [pytest.mark.system, pytest.mark.apache]

ALL = set(acls(Settings()))
PARTIES = {"edge-agent": "edge-agents"}  # of roles that are called otherwise
SMALL = {"partitions": 2, "heartbeat": "0.5s", "growth_first": 3, "edge": "edge-0"}
# Roles notice what is wrong with their input; that of these is the roles' before them.
UNNOTICED = {Acl(role, "Write", "topic", ROLE_NOTICES.name) for role in READS}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("guarded")) as broker:
        asyncio.run(broker.allow(ALL))
        broker.run("tidecast topics create", broker.settings("topics", **SMALL))
        yield broker


class Roles(Cluster):
    """Roles of which each comes in by its own name."""

    def __init__(self, broker: Guarded, folder: Path) -> None:
        super().__init__(broker.own, folder)
        self._broker = broker

    def enter(self, role: str, **changes: object):
        """Starts a role."""
        given = SMALL | {"edge_socket": "", "edge_port": free_port()} | changes
        settings = self._broker.settings(PARTIES.get(role, role), **given)
        if role == "gateway":
            settings = address.with_free_port(settings)
        self.settings = settings
        try:
            return self.start(role)
        finally:
            self.settings = self._broker.own


@pytest.fixture
def roles(broker: Guarded, tmp_path: Path) -> Iterator[Roles]:
    found = Roles(broker, tmp_path)
    try:
        yield found
    finally:
        found.close()


async def letter_of_what_was_too_large(settings: Settings, topic: Topic) -> None:
    headers = {
        "topic": topic.name, "partition": "0", "role": topic.writers[0], "error": TOO_LARGE,
    }  # fmt: skip
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        await producer.send_and_wait(
            DEAD_LETTERS.name, b"?", b"odd",
            headers=[(name, value.encode()) for name, value in headers.items()],
        )  # fmt: skip


async def test_everybody_works_and_needs_all_that_it_is_allowed(
    broker: Guarded, roles: Roles
) -> None:
    async def used(*of: Acl) -> None:
        missing: set[Acl] = set()

        def found() -> bool:
            nonlocal missing
            roles.assert_alive()
            missing = set(of) - broker.used()
            return not missing

        await until(found, lambda: f"the use of {missing}")

    # The gateway is there first: it reads of each topic what waits longest.
    roles.enter("gateway")
    for name in WORKED_OFF:
        await roles.publish(CATALOGUE[name], [("odd", b"?")])
    await used(*(acl for acl in ALL if acl.party == "gateway"))
    joined = [roles.enter(role) for role in READS]
    await roles.has_joined(*joined)
    for role in ("heart", "edge-agent"):
        roles.enter(role)
    for topic, party in ((SOCIAL_EVENTS, "social-platforms"), (EDGE_REQUESTS, "edge-servers")):
        producer = await connect(broker.settings(party), [topic.name])
        await producer.send_and_wait(topic.name, b"??", key=b"odd")
        await producer.stop()
    broker.run("tidecast simulate --limit 3000", broker.settings("traffic"))
    scored = [
        (POPULARITY_FORECASTS, forecast(1, 300.0, "served")),
        (CASCADE_OUTCOMES, outcome(1, 3600.0)),
    ]
    for topic, record in scored:
        await roles.publish(topic, [(record.cascade_id, topic.codec.encode(record))])

    consumer = reader(
        broker.settings("social-platforms"), group_id="social-platforms.site",
        auto_offset_reset="earliest",
    )  # fmt: skip
    async with consumer:
        consumer.subscribe([POPULARITY_FORECASTS.name])
        assert await consumer.getone()
    broker.run("tidecast doctor", broker.settings("doctor", **SMALL))
    await used(*(acl for acl in ALL if acl.name == "dead.letters" and acl.operation == "Write"))
    for name in WRITTEN:
        await letter_of_what_was_too_large(broker.own, CATALOGUE[name])
    broker.run("tidecast dead-letters list", broker.settings("dead-letters"))
    broker.run("tidecast dead-letters redrive --force", broker.settings("dead-letters"))
    broker.run("tidecast models publish seismic 1", broker.settings("models"))
    broker.run("tidecast models show seismic --scores", broker.settings("models"))
    await used(*(ALL - UNNOTICED))
    assert broker.refusals() == []
