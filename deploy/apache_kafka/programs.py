"""Kafka's own programs, under the names that its distribution gives them, run from the jars.

    make kafka ARGS="--programs kafka/bin"     writes them into a folder, to be put on the PATH

They take what the distribution's take. `kafka-server-start.sh` runs a broker in the foreground.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from deploy.apache_kafka import artefacts

PROGRAMS = {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-features": "org.apache.kafka.tools.FeatureCommand",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-server-start": "kafka.Kafka",
    "kafka-storage": "kafka.tools.StorageTool",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
}  # fmt: skip
_HEAP = "${KAFKA_HEAP_OPTS:--Xmx256m}"  # as the distribution, which gives its tools as much


def write(folder: Path) -> None:
    """Writes them into a folder, which is made if missing.

    Raises:
        UnavailableError: there is no Java, or Apache Kafka cannot be had; says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, program in PROGRAMS.items():
        java, *words = artefacts.java(program, (), artefacts.SHORT_LIVED)
        script = folder / f"{name}.sh"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(java)} {_HEAP} {shlex.join(words)} "$@"\n')
        script.chmod(0o755)
