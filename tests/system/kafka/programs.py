"""Kafka's own programs, as an operator runs them."""

from __future__ import annotations

import subprocess

from deploy.apache_kafka import artefacts
from tests.patience import PATIENCE

# One that lives for seconds gains nothing by a compiler that takes as long to warm up.
_SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")


def run(program: str, *arguments: str) -> str:
    """What a program of Kafka's says, by its class; it has to end well."""
    command = artefacts.java(program, arguments, _SHORT_LIVED)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
