"""The two kinds of worker: ingest roles on aiokafka, model roles on Faust.

Modules:
    ingest: the batch consumer of the ingest roles
    assignment: the partitions that it has, and the logs that they are of
    handler: what an ingest role does with one partition
    intake: from messages to typed records
    stamps: by whose clock a message is stamped
    event_clock: how far event time has come
    keys: whether messages have the key that keeps them together
    agents: the Faust application of the model roles
    publishing: outputs, sent and then committed
    membership: whether a worker may have been expelled unnoticed
    held_back: transactions that stay open
    heartbeats: passed on, and how old they were
    refusals: tells of messages that could not be used
"""

__all__ = [
    "agents",
    "assignment",
    "event_clock",
    "handler",
    "heartbeats",
    "held_back",
    "ingest",
    "intake",
    "keys",
    "membership",
    "publishing",
    "refusals",
    "stamps",
]
