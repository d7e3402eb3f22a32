"""Heartbeats: messages without a value that go the way of the data, on its topics and partitions.

A heartbeat has a null value, the key `KEY`, and as its Kafka timestamp the moment it was sent; a
role passes it on to what it writes under the same timestamp, so that its age can be told anywhere.
It holds no record and means nothing to a reader: passing over it, as over any null value of a
compacted topic whose key one does not know, is all there is to do.
"""

from __future__ import annotations

from typing import Protocol

# No cascade, edge or decision has this key: ids of edges are not empty, and to a reader of
# decisions that knows nothing of heartbeats it is an object of an edge that there is not.
KEY = b'["","heartbeat"]'


class Message(Protocol):
    """What of a message tells whether it is a heartbeat."""

    @property
    def key(self) -> bytes | None:
        """Of the message."""

    @property
    def value(self) -> bytes | None:
        """Of the message."""


def is_heartbeat(message: Message) -> bool:
    """Whether a message is a heartbeat."""
    return message.value is None and message.key == KEY
