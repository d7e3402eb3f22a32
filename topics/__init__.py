"""The contracts of tidecast: one typed record and one catalogue entry for each Kafka topic.

This package knows no other.

Modules:
    records: the records, one for each topic
    catalogue: every topic: key, record, partitions, cleanup, retention, writers and readers
    codecs: bytes to records and back
    likeness: what a value looks like that is not its topic's record
    consistency: what in a record contradicts itself
    heartbeat: messages without a value that go the way of the data
    hashing: the hash by which identifiers are compared
    contract: the documents that readers outside rely on: AsyncAPI, a JSON Schema a record
    compatibility: whether a changed contract would break who uses the committed one
    schemas: two JSON Schemas held against each other
    errors: the root of all errors
"""

__all__ = [
    "catalogue",
    "codecs",
    "compatibility",
    "consistency",
    "contract",
    "errors",
    "hashing",
    "heartbeat",
    "likeness",
    "records",
    "schemas",
]
