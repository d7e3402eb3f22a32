"""The contracts of tidecast: one typed record and one catalogue entry for each Kafka topic.

This package knows no other. `records` defines what is in a message, `catalogue` names the topics
and their settings, `codecs` turns records into bytes and back, `contract` writes the AsyncAPI
document and the JSON Schemas that readers outside rely on.
"""
