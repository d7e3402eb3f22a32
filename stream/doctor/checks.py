"""`tidecast doctor`: what the roles need, looked at one by one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.errors import KafkaError

from stream.doctor.input import LOOKED_AT, found_on_topics
from stream.http.access import AccessError, access, is_loopback
from stream.kafka.access.security import KafkaSecurityError, on_loopback, shown
from stream.kafka.broker import (
    MESSAGE_LIMIT,
    BrokerError,
    NotAllowedError,
    absent,
    configured,
    describe,
)
from stream.kafka.wire.unpacking import CodecError, check_codecs
from stream.secret import SecretError
from stream.serving.loading import load
from stream.settings import HTTP_SERVERS, Settings
from topics.catalogue import CATALOGUE
from topics.errors import TidecastError

_YEAR_2025 = 1_735_689_600.0
_ROOM = 48_588  # beside a message of the default size, as Kafka's own default has it


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, and what to do about it."""

    level: Literal["ok", "warning", "wrong"]
    what: str
    to_do: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Everything that can be found out from here, in the order in which to mend it."""
    findings = await _examine_broker(settings)
    findings += _examine_access(settings)
    findings += _examine_model(settings)
    findings += _examine_clock()
    return findings


async def _examine_broker(settings: Settings) -> list[Finding]:
    try:
        described = await describe(settings, CATALOGUE)
    except (BrokerError, KafkaSecurityError, SecretError) as error:
        return [Finding("wrong", str(error))]
    findings = [Finding("ok", f"a broker answers at {settings.kafka}"), _examine_security(settings)]
    missing = [name for name in CATALOGUE if name not in described]
    if missing:
        findings.append(await _examine_missing(settings, missing))
    findings += _examine_partitions(settings, described, missing)
    findings += await _examine_sizes(settings, described)
    try:
        check_codecs()
    except CodecError as error:
        return [*findings, Finding("wrong", str(error))]
    return findings + await _examine_input(settings, described)


async def _examine_missing(settings: Settings, missing: list[str]) -> Finding:
    error = await absent(settings, missing)
    if isinstance(error, NotAllowedError):
        return Finding("wrong", str(error), "tidecast topics acls --party doctor --commands")
    return Finding(
        "wrong",
        f"topics are missing: {', '.join(missing)}",
        f"tidecast topics create --kafka {settings.kafka}",
    )


def _examine_security(settings: Settings) -> Finding:
    told = f"the connection to it: {shown(settings)}"
    if settings.kafka_security == "plaintext" and not on_loopback(settings):
        return Finding(
            "warning", told, "let the brokers speak TLS and SASL, and set kafka_security = sasl_tls"
        )
    return Finding("ok", told)


def _examine_partitions(
    settings: Settings, described: Mapping[str, Any], missing: list[str]
) -> list[Finding]:
    findings = []
    for name, topic in CATALOGUE.items():
        if name in missing:
            continue
        got = len(described[name]["partitions"])
        wanted = settings.partitions if topic.partitioned else 1
        leaderless = sum(p["leader"] < 0 for p in described[name]["partitions"])
        if leaderless:
            findings.append(
                Finding(
                    "wrong",
                    f"{name}: {leaderless} of {got} partitions have no leader",
                    "look at the brokers: one that led them is down and none could take over",
                )
            )
        if got != wanted:
            findings.append(
                Finding(
                    "warning",
                    f"{name}: has {got} partitions; the setting says {wanted}",
                    f"set partitions = {got}, or change the topic while nothing writes to it",
                )
            )
    joined = {
        name: len(described[name]["partitions"])
        for name, topic in CATALOGUE.items()
        if topic.partitioned and "scorer" in topic.readers + topic.writers and name not in missing
    }
    if len(set(joined.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in joined.items())
        findings.append(
            Finding(
                "wrong",
                f"the scorer joins by partition, and these have different numbers: {told}",
                "give all the number that the largest has: kafka-topics.sh --alter",
            )
        )
    if not missing and not findings:
        findings.append(Finding("ok", f"{len(CATALOGUE)} topics, partitions as set"))
    return findings


async def _examine_sizes(settings: Settings, there: Iterable[str]) -> list[Finding]:
    """Topics that take less than roles may write, which would be dead letters."""
    try:
        takes = await configured(settings, there, MESSAGE_LIMIT)
    except (BrokerError, KafkaError) as error:
        return [Finding("warning", f"how large messages may be is not told ({error})")]
    least = settings.message_bytes
    small = {topic: int(limit) for topic, limit in takes.items() if int(limit) < least}
    return [
        Finding(
            "warning",
            f"{topic}: takes messages of at most {limit} bytes; roles may write {least} "
            "(message_bytes), and what is larger is a dead letter",
            f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config "
            f"{MESSAGE_LIMIT}={_ROOM + least}",
        )
        for topic, limit in small.items()
    ]


async def _examine_input(settings: Settings, described: Mapping[str, Any]) -> list[Finding]:
    found = await found_on_topics(settings, described)
    if not found and not described.keys() >= LOOKED_AT:
        return []  # a topic that is not there, or not for us to see, shows nothing
    if not found:
        return [Finding("ok", "roles noticed nothing lately, and messages have the keys they need")]
    return [Finding("warning", what, to_do) for what, to_do in found]


def _examine_access(settings: Settings) -> list[Finding]:
    """Who is answered over HTTP; only what these settings would open is looked at."""
    ports = {
        "gateway": True,
        "metrics": bool(settings.metrics_port),
        "edge": bool(settings.edge and settings.edge_port),
    }
    findings = []
    for server in (server for server, serves in ports.items() if serves):
        try:
            access(settings, server)
        except (AccessError, SecretError) as error:
            findings.append(Finding("wrong", str(error)))
            continue
        host = getattr(settings, HTTP_SERVERS[server])
        if server in settings.http_open and not is_loopback(host):
            findings.append(
                Finding(
                    "warning",
                    f"{server} answers everyone who reaches {host}",
                    "let nobody reach it who may not read it, or set http_token and take it out "
                    "of http_open",
                )
            )
    return findings or [Finding("ok", "HTTP answers this machine, or those who have the token")]


def _examine_model(settings: Settings) -> list[Finding]:
    began = time.perf_counter()
    try:
        loaded = load(settings, settings.forecaster)
    except TidecastError as error:
        return [Finding("wrong", str(error), "tidecast models list shows what there is")]
    seconds = time.perf_counter() - began
    return [Finding("ok", f"model {loaded} loads and answers in {seconds:.2f} s")]


def _examine_clock() -> list[Finding]:
    now = time.time()
    if now < _YEAR_2025:
        return [
            Finding(
                "wrong",
                f"the clock says {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC",
                "set the clock (ntpd, chronyd): events would be refused as being of the future",
            )
        ]
    return [Finding("ok", f"the clock says {time.strftime('%F %T', time.gmtime(now))} UTC")]
