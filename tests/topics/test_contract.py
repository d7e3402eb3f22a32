"""The documents: committed as generated, sound in themselves, and true of what codecs write.

No package for Python ships the JSON Schema of AsyncAPI 3, so that the structure of the AsyncAPI
document is held by checks of our own: the fields that its specification requires, and that every
reference leads somewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stream.settings import Settings
from stream.workers.publishing.output import dead_letter
from topics import contract
from topics.catalogue import CATALOGUE, DEAD_LETTERS, Topic

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "contract"
DOCUMENTS = contract.documents(Settings().partitions)
ASYNCAPI = DOCUMENTS[contract.ASYNCAPI]


def test_the_committed_documents_are_what_the_code_says() -> None:
    assert contract.stale(COMMITTED, DOCUMENTS) == [], "run `make contract`"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    contract.write(tmp_path, DOCUMENTS)
    assert contract.read(tmp_path) == DOCUMENTS
    assert contract.stale(tmp_path, DOCUMENTS) == []


def test_stale_documents_are_named_and_removed(tmp_path: Path) -> None:
    contract.write(tmp_path, DOCUMENTS)
    (tmp_path / "schemas" / "Gone.json").write_text("{}")
    (tmp_path / "schemas" / "SocialEvent.json").write_text("{}")
    (tmp_path / contract.ASYNCAPI).unlink()
    expected = ["asyncapi.json", "schemas/Gone.json", "schemas/SocialEvent.json"]
    assert contract.stale(tmp_path, DOCUMENTS) == expected
    contract.write(tmp_path, DOCUMENTS)
    assert contract.stale(tmp_path, DOCUMENTS) == []


def test_a_document_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / contract.ASYNCAPI).write_text("{")
    with pytest.raises(ValueError, match=r"asyncapi\.json: not JSON"):
        contract.read(tmp_path)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_what_codecs_write_is_valid_by_the_schemas(
    topic: Topic, record: type, any_record: st.SearchStrategy[msgspec.Struct], data: st.DataObject
) -> None:
    schema = DOCUMENTS[f"schemas/{record.__name__}.json"]
    Draft202012Validator.check_schema(schema)
    written = msgspec.json.encode(data.draw(any_record))
    Draft202012Validator(schema).validate(json.loads(written))


def test_every_topic_is_a_channel_with_its_settings() -> None:
    assert list(ASYNCAPI["channels"]) == list(CATALOGUE)
    for name, channel in ASYNCAPI["channels"].items():
        kafka, topic = channel["bindings"]["kafka"], CATALOGUE[name]
        assert channel["address"] == kafka["topic"] == name
        assert kafka["partitions"] == (Settings().partitions if topic.partitioned else 1)
        assert kafka["topicConfiguration"].get("retention.ms") == topic.retention_ms
        assert ",".join(kafka["topicConfiguration"]["cleanup.policy"]) == topic.cleanup
        assert channel.get("x-internal", False) is not topic.public


def test_operations_say_who_writes_and_who_reads() -> None:
    for topic in CATALOGUE.values():
        parties = {
            (operation["action"], operation["tags"][0]["name"])
            for operation in ASYNCAPI["operations"].values()
            if operation["channel"] == {"$ref": f"#/channels/{topic.name}"}
        }
        assert parties == {("send", party) for party in topic.writers} | {
            ("receive", party) for party in topic.readers
        }


def test_the_asyncapi_document_has_what_its_specification_requires() -> None:
    assert set(ASYNCAPI) <= {
        "asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations",
        "components",
    }  # fmt: skip
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(ASYNCAPI["info"])
    for operation in ASYNCAPI["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = resolve(operation["channel"]["$ref"])
        assert all(
            resolve(message["$ref"]) in channel["messages"].values()
            for message in operation["messages"]
        )


def test_every_reference_leads_somewhere() -> None:
    found = list(references(ASYNCAPI))
    assert len(found) > 50
    assert all(resolve(reference) for reference in found)


def test_headers_of_dead_letters_are_told() -> None:
    headers = ASYNCAPI["components"]["messages"]["DeadLetter"]["headers"]
    assert set(headers["required"]) == set(headers["properties"])
    assert all(name in DEAD_LETTERS.description for name in headers["required"])
    record = ConsumerRecord("t", 0, 1, 2, 0, b"k", b"v", None, 1, 1, ())
    written = dead_letter(record, "tracker", "DecodeError", "what is wrong").headers
    assert [name for name, _ in written] == headers["required"]


def references(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from (document[key] for key in document if key == "$ref")
        for value in document.values():
            yield from references(value)
    elif isinstance(document, list):
        for value in document:
            yield from references(value)


def resolve(reference: str) -> Any:
    path, _, pointer = reference.partition("#")
    target: Any = DOCUMENTS[path or contract.ASYNCAPI]
    for step in pointer.strip("/").split("/") if pointer else ():
        target = target[step]
    return target
