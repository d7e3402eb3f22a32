"""Access control lists on Apache Kafka: everybody works by those that are generated.

They are the least: all that may be used is used, and who lacks one of them says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from stream.gateway import address
from stream.http.listening import free_port
from stream.kafka.access.acls import Acl, acls
from stream.kafka.access.security import connection
from stream.kafka.broker import NotAllowedError
from stream.kafka.reader import reader
from stream.settings import Settings
from stream.sources.feed import connect
from stream.workers.publishing.output import TOO_LARGE
from tests.patience import until
from tests.system.conftest import Cluster
from tests.system.kafka.access.guarded import Guarded, guarded
from tests.system.roles.test_scorer import forecast, outcome
from topics.catalogue import (
    CASCADE_OUTCOMES,
    CATALOGUE,
    DEAD_LETTERS,
    EDGE_REQUESTS,
    MODEL_UPDATES,
    POPULARITY_FORECASTS,
    READS,
    ROLE_NOTICES,
    SOCIAL_EVENTS,
    WORKED_OFF,
    WRITTEN,
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


# Who lacks one right of those it needs, or may only describe what it is about; what it says, and
# with what it ends: None where it goes on, and waits for the right.
LACKING: dict[str, tuple[str, Acl, bool, str, int | None]] = {
    "a topic to read, which it cannot see": (
        "tracker", Acl("tracker", "Read", "topic", "social.events"), False,
        "does not allow 'tracker' to see social.events", 1,
    ),
    "a topic to read, which it sees": (
        "tracker", Acl("tracker", "Read", "topic", "social.events"), True,
        "do not allow 'tracker' what this needs (topic: social.events)", 1,
    ),
    "a topic to write": (
        "tracker", Acl("tracker", "Write", "topic", "dead.letters"), True,
        "do not allow 'tracker' what this needs (topic: dead.letters)", 1,
    ),
    "the group of an ingest role": (
        "tracker", Acl("tracker", "Read", "group", "tidecast.tracker"), False,
        "do not allow 'tracker' what this needs (consumer group: tidecast.tracker)", 1,
    ),
    "the group of a model role": (
        "ranker", Acl("ranker", "Read", "group", "tidecast.ranker"), False,
        "do not allow 'ranker' what this needs (consumer group: tidecast.ranker)", 1,
    ),
    "a topic to write, of a model role": (
        "scorer", Acl("scorer", "Write", "topic", "dead.letters"), True,
        "do not allow 'scorer' what this needs (topic: dead.letters)", 1,
    ),
    "a group beside its own": (
        "scorer", Acl("scorer", "Read", "group", "tidecast.calibrator"), False,
        "do not allow 'scorer' what this needs (consumer group: tidecast.calibrator)", 1,
    ),
    "the heart's topic": (
        "heart", Acl("heart", "Write", "topic", "edge.requests"), True,
        "do not allow 'heart' what this needs (topic: edge.requests)", 1,
    ),
    "a group to look at": (
        "gateway", Acl("gateway", "Describe", "group", "tidecast.scorer"), False,
        "the roles cannot be looked at: the brokers do not allow 'gateway'", None,
    ),
    "the decisions that an edge obeys": (
        "edge-agent", Acl("edge-agents", "Read", "topic", "cache.decisions"), False,
        "does not allow 'edge-agents' to see cache.decisions", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LACKING)
async def test_who_lacks_a_right_says_so(broker: Guarded, roles: Roles, case: str) -> None:
    role, acl, sees, says, ends = LACKING[case]
    for name in WORKED_OFF:
        await roles.publish(CATALOGUE[name], [("odd", b"?")])
    instead = [acl._replace(operation="Describe")] if sees else []
    await broker.forbid([acl])
    await broker.allow(instead)
    try:
        process = roles.enter(role, broker_patience="1s")
        await until(lambda: says in process.log.read_text(), process.tail)
        if ends is None:
            assert process.exit_code is None
        else:
            assert await asyncio.to_thread(roles.ended, process) == ends
            assert "tidecast topics acls" in process.log.read_text()
    finally:
        await broker.forbid(instead)
        await broker.allow([acl])


async def test_a_role_waits_for_its_rights(broker: Guarded, roles: Roles) -> None:
    lacking = Acl("tracker", "Write", "topic", "cascade.snapshots")
    await broker.forbid([lacking])
    try:
        tracker = roles.enter("tracker")
        await until(lambda: "the tracker waits" in tracker.log.read_text(), tracker.tail)
    finally:
        await broker.allow([lacking])
    await roles.has_joined(tracker)


async def test_nobody_writes_what_is_not_its_own(broker: Guarded) -> None:
    for party in ("social-platforms", "heart"):
        with pytest.raises(NotAllowedError, match=f"not allow '{party}' to see model.updates"):
            await connect(broker.settings(party), [MODEL_UPDATES.name])
    # Who write nothing at all are refused as producers, or the topic, whichever is told first.
    for party in ("gateway", "edge-agents"):
        why = f"not allow '{party}' (what this needs .cluster|to see model.updates)"
        with pytest.raises(NotAllowedError, match=why):
            await connect(broker.settings(party), [MODEL_UPDATES.name])
    async with AIOKafkaProducer(**connection(broker.settings("gateway"))) as producer:
        # What it may read, and hence sees.
        with pytest.raises(TopicAuthorizationFailedError, match=MODEL_UPDATES.name):
            await producer.send_and_wait(MODEL_UPDATES.name, b"{}")
    said = broker.run("! tidecast simulate --limit 10 2>&1", broker.settings("gateway"))
    assert "do not allow 'gateway' what this needs (cluster)" in said
    assert "Traceback" not in said
