"""Fetched bytes as records, whatever is in them.

Modules:
    batches: batches of records
    unpacking: compressed batches, unpacked within a bound
    salvage: what can be read of a batch that is not as it should be
"""

__all__ = ["batches", "salvage", "unpacking"]
