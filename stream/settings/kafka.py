"""Brokers, consumer groups, batches and the bounds of messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration


@dataclass(frozen=True)
class Kafka(Domain):
    """The brokers, and how a worker reads and writes their topics."""

    heading: ClassVar[str] = "Kafka"

    kafka: str = setting("127.0.0.1:9092", "host:port,... of the brokers")
    group_prefix: str = setting("tidecast", "consumer groups are <prefix>.<role>")
    instance: str = setting("0", "names this worker among those of its role; static membership")
    partitions: int = setting(4, "of the partitioned topics, when they are created", positive=True)
    replication: int = setting(
        1, "of the topics, when they are created; 3 in production", positive=True
    )
    session_timeout: Duration = setting(Duration(30), "a worker silent this long is replaced")
    broker_patience: Duration = setting(
        Duration(120),
        "how long a role that starts waits for a broker, and for its topics to be made",
    )
    poll_records: int = setting(
        4_000, "messages a batch at most; a batch is one commit", positive=True
    )
    batches_in_flight: int = setting(
        4,
        "of tracker and historian: batches whose outputs may wait to be acknowledged",
        positive=True,
    )
    fetch_bytes: int = setting(4 << 20, "bytes a partition and fetch", positive=True)
    event_bytes: int = setting(
        16_384, "of an event or a request at most; larger ones are dead letters", positive=True
    )
    message_bytes: int = setting(
        1_000_000, "of one message; just under Kafka's default limit", positive=True
    )

    def group(self, role: str) -> str:
        """Consumer group of a role."""
        return f"{self.group_prefix}.{role}"
