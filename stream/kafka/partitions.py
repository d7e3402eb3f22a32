"""The partition of a key, by the rule that every client of Kafka follows where none is told."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=1 << 17)
def partition_hash(key: bytes) -> int:
    """Kafka's hash of a key; the partition is this modulo the number of partitions."""
    digest: int = murmur2(key) & 0x7FFFFFFF
    return digest
