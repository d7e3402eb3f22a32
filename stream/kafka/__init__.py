"""Kafka's clients: connected, authenticated, and read alike by whoever reads a log.

Modules:
    access: who may talk to the brokers, and how
    administrator: asks a cluster of which a broker may be away
    broker: topics made, described and looked for
    reader: where every consumer is made
    wire: fetched bytes as records
    partitions: the partition of a key
    pacing: fetches that leave an idle broker alone
    groups: what a broker knows of a consumer group
    all_to_one: a group of which one member works
    resuming: where a group goes on
    marks: by which a place in a log is recognised
    logs: whether a log is still the one that was read
    past: what a partition held before, read again
    progress: how far each role has come
    tail: logs read on and on without a group
    follow: topics as any subscriber reads them
    watch: a topic of one partition that every worker needs all of
"""

__all__ = [
    "access",
    "administrator",
    "all_to_one",
    "broker",
    "follow",
    "groups",
    "logs",
    "marks",
    "pacing",
    "partitions",
    "past",
    "progress",
    "reader",
    "resuming",
    "tail",
    "watch",
    "wire",
]
