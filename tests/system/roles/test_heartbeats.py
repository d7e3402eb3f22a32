"""Heartbeats on the real broker: through every role to the gateway, and where they stop."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from stream.gateway import address
from stream.gateway.roles import ROLES
from stream.kafka.broker import create_topics
from stream.settings import load
from tests.patience import PATIENCE, until
from tests.system.conftest import Cluster
from topics.catalogue import CASCADE_SNAPSHOTS, DEAD_LETTERS, POPULARITY_FORECASTS, SOCIAL_EVENTS
from topics.heartbeat import is_heartbeat
from topics.records import SocialEvent

pytestmark = pytest.mark.system

PARTITIONS = 2


def health(cluster: Cluster) -> Any:
    at = address.url(cluster.settings.http_host, cluster.settings.http_port)
    with urllib.request.urlopen(f"{at}/api/health", timeout=PATIENCE) as answer:
        return json.load(answer)


async def told(cluster: Cluster, enough: Callable[[Any], bool]) -> Any:
    """What /api/health says as soon as that is enough."""
    said: Any = None

    def found() -> Any:
        nonlocal said
        cluster.assert_alive()
        said = health(cluster)
        return said if enough(said) else None

    return await until(found, lambda: f"health, which says {said}")


@pytest.mark.both
async def test_they_pass_every_stage_and_the_one_that_dies_is_named(bare_cluster: Cluster) -> None:
    cluster = bare_cluster
    changes = {
        "partitions": PARTITIONS, "heartbeat": "0.5s", "stale_after": "4s", "growth_first": 3,
        "forecaster": "seismic", "ranker": "decayed", "shadows": "",
    }  # fmt: skip
    given = load(environment=cluster.settings.environment(), **changes)
    cluster.settings = address.with_free_port(given)
    await create_topics(cluster.settings)
    roles = {role: cluster.start(role) for role in (*ROLES, "gateway", "heart")}
    await cluster.has_joined(*roles.values())
    events = [SocialEvent("c", f"e{n}", f"u{n}", 1e9 + n, "share") for n in range(5)]
    await cluster.publish(
        SOCIAL_EVENTS, [(e.cascade_id, SOCIAL_EVENTS.codec.encode(e)) for e in events]
    )

    through = await told(
        cluster, lambda found: all(role["passed_seconds"] for role in found["roles"])
    )
    assert all(role["passed_seconds"] > 0 for role in through["roles"])
    for name in ROLES:
        metrics = roles[name].metrics()
        assert metrics["tidecast_heartbeat_age_seconds"] > 0, name
        # The latest of each partition: seconds of unix time, added up.
        assert metrics["tidecast_heartbeat_passed_timestamp_seconds"] > PARTITIONS * 1e9, name

    # On each topic as many partitions have them as there are, and what is no heartbeat is as ever.
    for topic in (CASCADE_SNAPSHOTS, POPULARITY_FORECASTS):
        held = await cluster.read(
            topic, lambda records: not all(is_heartbeat(record) for record in records)
        )
        assert {r.partition for r in held if is_heartbeat(r)} == set(range(PARTITIONS))
        (record,) = [topic.codec.decode(r.value) for r in held if not is_heartbeat(r)]
        assert record.cascade_id == "c"
    assert await cluster.read(DEAD_LETTERS) == []

    cluster.kill(roles["forecaster"])

    def it_alone_is_named(found: Any) -> bool:
        """Whether the others, which may be late on a busy machine, have gone on without it."""
        by_role = {role["name"]: role["last_passed_wall"] for role in found["roles"]}
        return (
            any("come through the forecaster" in note["text"] for note in found["notes"])
            and by_role["forecaster"] < by_role["tracker"]
            and by_role["forecaster"] < by_role["ranker"]
        )

    stuck = await told(cluster, it_alone_is_named)
    # What follows it gets none either, and is not to blame.
    assert not any("come through the scorer" in note["text"] for note in stuck["notes"])
