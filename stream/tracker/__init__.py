"""The tracker: reshare events in, snapshots and outcomes of cascades out.

Modules:
    role: puts it together
    store: the live cascades of one partition: the rules
    kernel: its compiled half
    columns: the columns of its state
    key_table: from 64-bit keys to slots
    timers: a heap by time
    activity: cascades in order of their latest event
    packing: writes what was triggered for the caller
    saving: the columns as a checkpoint keeps them
"""

__all__ = [
    "activity",
    "columns",
    "kernel",
    "key_table",
    "packing",
    "role",
    "saving",
    "store",
    "timers",
]
