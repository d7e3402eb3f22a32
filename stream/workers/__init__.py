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
    output: what a role publishes
    packing: outputs as a producer takes them, and what is too large for their topics
    delivery: outputs on their way, and what they allow to be committed
    ledger: which offsets may be committed
    membership: whether a worker may have been expelled unnoticed
    held_back: transactions that stay open
    heartbeats: passed on, and how old they were
    refusals: tells of messages that could not be used
"""

__all__ = [
    "agents",
    "assignment",
    "delivery",
    "event_clock",
    "handler",
    "heartbeats",
    "held_back",
    "ingest",
    "intake",
    "keys",
    "ledger",
    "membership",
    "output",
    "packing",
    "refusals",
    "stamps",
]
