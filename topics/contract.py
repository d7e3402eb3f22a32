"""The contract of the topics as documents: AsyncAPI 3.0 and one JSON Schema a record.

They are generated from the catalogue and the records, so that they cannot say anything else, and
are committed, so that who writes or reads a topic from outside need not read Python. Equal code
gives equal bytes. `topics.compatibility` holds what is committed against what the code says now.

    asyncapi.json          channels (topics), messages (records), operations (who sends, who
                           receives), Kafka bindings (key, partitions, cleanup, retention)
    schemas/<Record>.json  JSON Schema 2020-12 of the record, complete in itself

Sources: AsyncAPI 3.0.0, its Kafka bindings 0.5.0, JSON Schema 2020-12.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from topics.catalogue import CATALOGUE, Topic
from topics.heartbeat import KEY

Document = dict[str, Any]
ASYNCAPI = "asyncapi.json"
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
BINDING_VERSION = "0.5.0"
RAW_MESSAGE = "DeadLetter"  # the one message that is no record
# Parties of the catalogue that run outside of a deployment and are upgraded on their own.
OUTSIDE = frozenset({"social platforms", "edge servers", "edge agents", "operators"})
_CONTENT_TYPES = {"json": "application/json", "msgpack": "application/vnd.msgpack"}


def _trace(cause: str, made: str) -> dict[str, str]:
    """What is said of the header by which messages of one trace are known."""
    return {
        "traceparent": (
            f"W3C Trace Context, version 00: that of the {cause}, where it had one, "
            f"else derived from the {made}, so that a repeat has the same."
        )
    }


_FORECAST_HEADERS = {
    "event_timestamp": (
        "Kafka timestamp, milliseconds since 1970, of the event that caused the forecast; "
        "the message's own timestamp is when it was forecast."
    ),
    **_trace("event", "snapshot's id"),
}
# Headers that messages of a topic carry, all of them always; each value is text. Topics that
# share a record share its headers: both are the message's.
_HEADERS = {
    "cascade.snapshots": _trace("event", "snapshot's id"),
    "edge.windows": _trace("request", "edge and the window's start"),
    "popularity.forecasts": _FORECAST_HEADERS,
    "shadow.forecasts": _FORECAST_HEADERS,
    "cache.decisions": {
        "event_timestamp": (
            "Kafka timestamp, milliseconds since 1970, of the request that closed the window; "
            "the message's own timestamp is when it was decided."
        ),
        **_trace("request that closed the window", "edge and the window's start"),
    },
    "dead.letters": {
        "topic": "Topic of the original message.",
        "partition": "Partition of the original message, a decimal number.",
        "offset": "Offset of the original message, a decimal number.",
        "timestamp": "Kafka timestamp of the original message, milliseconds since 1970.",
        "role": "The role that could not use it.",
        "error": "Class of the error.",
        "message": "What is wrong with the message, and what to do.",
        **_trace("original message", "place of the original message"),
    },
}


def documents(partitions: int, topics: Iterable[Topic] = CATALOGUE.values()) -> dict[str, Document]:
    """Every document of the contract by its path in the contract's folder.

    Args:
        partitions: what a deployment gives a partitioned topic by default.
        topics: the topics to describe.
    """
    topics = tuple(topics)
    schemas = {record.__name__: _schema(record) for topic in topics for record in records(topic)}
    files = {f"schemas/{name}.json": schema for name, schema in sorted(schemas.items())}
    return {ASYNCAPI: _asyncapi(topics, partitions), **files}


def records(topic: Topic) -> tuple[type[msgspec.Struct], ...]:
    """The record types of a topic: several where it carries a tagged union, none for raw bytes."""
    if topic.record is msgspec.Raw:
        return ()
    return typing.get_args(topic.record) or (topic.record,)


def render(document: Document) -> str:
    """A document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def digest(contract: Mapping[str, Document]) -> str:
    """By which a state of the contract is named, twelve hexadecimal digits.

    The version of the program is no part of it: a release changes nothing for readers.
    """
    info = {name: said for name, said in contract[ASYNCAPI]["info"].items() if name != "version"}
    told = {**contract, ASYNCAPI: {**contract[ASYNCAPI], "info": info}}
    content = "".join(f"{path}\n{render(told[path])}" for path in sorted(told))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def write(folder: Path, contract: Mapping[str, Document]) -> None:
    """Writes the documents into `folder`, and removes schemas of records that are no more."""
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for path in stored(folder) - set(contract):
        (folder / path).unlink()
    for path, document in contract.items():
        (folder / path).write_text(render(document), encoding="utf-8")


def read(folder: Path) -> dict[str, Document]:
    """The documents in `folder`, empty if there are none.

    Raises:
        ValueError: a file that is not JSON.
    """
    found = {}
    for path in sorted(stored(folder)):
        try:
            found[path] = json.loads((folder / path).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{folder / path}: not JSON ({error}); restore it, or write it anew with "
                "`tidecast contract`"
            ) from error
    return found


def stale(folder: Path, contract: Mapping[str, Document]) -> list[str]:
    """Paths that are missing in `folder`, differ from `contract`, or are no part of it."""
    held = stored(folder)
    return sorted(
        (held - set(contract))
        | {
            path
            for path, document in contract.items()
            if path not in held or (folder / path).read_text(encoding="utf-8") != render(document)
        }
    )


def stored(folder: Path) -> set[str]:
    """Paths of the contract's documents in `folder`."""
    files = [folder / ASYNCAPI, *folder.glob("schemas/*.json")]
    return {file.relative_to(folder).as_posix() for file in files if file.is_file()}


def _schema(record: type[msgspec.Struct]) -> Document:
    """JSON Schema of a record; the records inside it are under `$defs`."""
    _, components = msgspec.json.schema_components([record], ref_template="#/$defs/{name}")
    for component in components.values():
        if "description" in component:
            component["description"] = inspect.cleandoc(component["description"])
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= components.pop(record.__name__)
    return schema | ({"$defs": dict(sorted(components.items()))} if components else {})


def _asyncapi(topics: tuple[Topic, ...], partitions: int) -> Document:
    operations: Document = {}
    for topic in topics:
        for party in topic.writers:
            operations[f"{_slug(party)}.sends.{topic.name}"] = _operation(topic, party, "send")
        for party in topic.readers:
            operations[f"{_slug(party)}.receives.{topic.name}"] = _operation(
                topic, party, "receive"
            )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tidecast",
            "version": version("tidecast"),
            "description": (
                "Forecasts of how far posts will spread, and decisions about what edge caches "
                "should keep, over Kafka. Every operation is told from the side of the party that "
                "its tag names. Channels with `x-internal` join roles of one deployment; nothing "
                "outside should use them. Where a heart runs, messages with a null value and the "
                f"key `{KEY.decode()}` are heartbeats, on the input topics and on those that roles "
                "pass them on to: they hold no record, and readers pass over them."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, partitions) for topic in topics},
        "operations": operations,
        "components": {
            "messages": {
                name: message for topic in topics for name, message in _messages(topic).items()
            }
        },
    }


def _channel(topic: Topic, partitions: int) -> Document:
    settings: Document = {"cleanup.policy": topic.cleanup.split(",")}
    if topic.retention_ms is not None:
        settings["retention.ms"] = topic.retention_ms
    channel: Document = {
        "address": topic.name,
        "description": topic.description,
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in _message_names(topic)
        },
        "tags": [{"name": _side(topic)}],
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": partitions if topic.partitioned else 1,
                "topicConfiguration": settings,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }
    return channel if topic.public else channel | {"x-internal": True}


def _side(topic: Topic) -> str:
    """Which side of a deployment writes the topic for which: `input`, `output` or `internal`."""
    if not topic.public:
        return "internal"
    return "input" if OUTSIDE & set(topic.writers) else "output"


def _message_names(topic: Topic) -> list[str]:
    return [record.__name__ for record in records(topic)] or [RAW_MESSAGE]


def _messages(topic: Topic) -> Document:
    """The messages of a topic by name."""
    common: Document = {
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": topic.key},
                "bindingVersion": BINDING_VERSION,
            }
        }
    }
    if topic.name in _HEADERS:
        headers = _HEADERS[topic.name]
        common["headers"] = {
            "type": "object",
            "properties": {
                name: {"type": "string", "description": text} for name, text in headers.items()
            },
            "required": list(headers),
        }
    if not records(topic):
        summary = "The original value, byte for byte."
        content = {"summary": summary, "contentType": "application/octet-stream"}
        return {RAW_MESSAGE: content | common}
    if topic.encoding == "msgpack":
        common["description"] = (
            "MessagePack: where the schema says `contentEncoding`, the value is a `bin` of the "
            "bytes themselves."
        )
    return {
        record.__name__: {
            "summary": inspect.cleandoc(record.__doc__ or "").splitlines()[0],
            "contentType": _CONTENT_TYPES[topic.encoding],
            "payload": {
                "schemaFormat": SCHEMA_FORMAT,
                "schema": {"$ref": f"schemas/{record.__name__}.json"},
            },
        }
        | common
        for record in records(topic)
    }


def _operation(topic: Topic, party: str, action: str) -> Document:
    verb = "writes" if action == "send" else "reads"
    return {
        "action": action,
        "summary": f"{party[0].upper()}{party[1:]}: {verb} {topic.name}.",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "tags": [{"name": party}],
        "messages": [
            {"$ref": f"#/channels/{topic.name}/messages/{name}"} for name in _message_names(topic)
        ],
    }


def _slug(party: str) -> str:
    return party.replace(" ", "-")
