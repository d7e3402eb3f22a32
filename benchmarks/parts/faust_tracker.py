"""The tracker's work as a plain Faust agent with a table: what `ingest.py` holds the tracker to.

The agent decodes each event, keeps those of a cascade in a table (up to `max_events`; later ones
are counted), passes over repeats, finds the parent by event, then by user, and sends the same
snapshot at the same growth triggers. The table is Faust's default: JSON, in memory, with every
change written to its changelog topic.

It does less than the tracker: no snapshots by age, no outcomes, no closing and evicting of
cascades, no publication by a late root, no order by time, no counts of later events by delay, no
check of clocks, no dead letters. Nor does it wait: Faust sends, acknowledges and commits in the
background, and what is under way when the last event has been handled is not counted against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faust
import numpy as np

from stream.settings import Settings
from topics.catalogue import CASCADE_SNAPSHOTS, SOCIAL_EVENTS
from topics.hashing import hash_users
from topics.records import CascadeSnapshot, SocialEvent

ROOT, UNKNOWN = -1, -2  # parents that are not an index


def application(settings: Settings, on_event: Callable[[], None]) -> faust.App:
    """The Faust application; it calls `on_event` after each event."""
    name = settings.group("faust")
    app = faust.App(
        name,
        broker=f"kafka://{settings.kafka}",
        broker_check_crcs=False,  # as the other contenders
        consumer_max_fetch_size=settings.fetch_bytes,  # likewise
        topic_partitions=settings.partitions,
        # The leader's topic is always empty, and the embedded broker answers fetches of nothing
        # at once, thousands of times a second.
        topic_disable_leader=True,
        datadir=str(settings.data_dir / name),
        autodiscover=False,
        web_enabled=False,
    )
    raw = {"key_serializer": "raw", "value_serializer": "raw"}
    events = app.topic(SOCIAL_EVENTS.name, key_type=bytes, value_type=bytes, **raw)
    snapshots = app.topic(CASCADE_SNAPSHOTS.name, **raw)
    cascades = app.Table("cascades", default=lambda: {"count": 0, "events": []})
    growth = _growth_triggers(settings)

    @app.agent(events)
    async def track(stream: Any) -> None:
        async for value in stream:
            event = SOCIAL_EVENTS.codec.decode(value)
            cascade = cascades[event.cascade_id]
            if _add(cascade, event, settings.max_events):
                cascades[event.cascade_id] = cascade
                if cascade["count"] in growth:
                    record = _snapshot(event.cascade_id, cascade)
                    await snapshots.send(
                        key=event.cascade_id.encode(), value=CASCADE_SNAPSHOTS.codec.encode(record)
                    )
            on_event()

    return app


def _growth_triggers(settings: Settings) -> set[int]:
    triggers, count = set(), settings.growth_first
    while count < 1 << 31:
        triggers.add(count)
        count = max(int(count * settings.growth_factor), count + 1)
    return triggers


def _add(cascade: dict[str, Any], event: SocialEvent, max_events: int) -> bool:
    """Adds an event to the table's entry of its cascade; False: it is there already."""
    by_event = by_user = UNKNOWN
    for index, (event_id, user_id, *_) in enumerate(cascade["events"]):
        if event_id == event.event_id:
            return False
        if event_id == event.parent_id:
            by_event = index
        if by_user == UNKNOWN and user_id == event.parent_user_id:
            by_user = index
    cascade["count"] += 1
    if len(cascade["events"]) < max_events:
        parent = by_event if by_event != UNKNOWN else by_user
        if event.kind == "post":
            parent = ROOT
        depth = 0 if parent == ROOT else 1
        if parent >= 0:
            depth += cascade["events"][parent][4]
        cascade["events"].append((event.event_id, event.user_id, event.timestamp, parent, depth))
    return True


def _snapshot(cascade_id: str, cascade: dict[str, Any]) -> CascadeSnapshot:
    _, users, times, parents, depths = zip(*cascade["events"], strict=True)
    trigger = f"n{cascade['count']}"
    return CascadeSnapshot(
        snapshot_id=f"{cascade_id}@{trigger}",
        cascade_id=cascade_id,
        trigger=trigger,
        published_at=min(times),
        age=max(times) - min(times),
        observed_count=cascade["count"],
        rooted=ROOT in parents,
        delay=(np.array(times) - min(times)).astype("<f4").tobytes(),
        parent=np.array(parents, "<i4").tobytes(),
        depth=np.array(depths, "<i4").tobytes(),
        user=hash_users(users).tobytes(),
    )
