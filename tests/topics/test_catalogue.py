from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from topics.catalogue import (
    BROKER,
    CACHE_DECISIONS,
    CATALOGUE,
    DEAD_LETTERS,
    SHADOW_FORECASTS,
    STAMPED_BY,
    Topic,
    decision_key,
)
from topics.contract import OUTSIDE, records
from topics.records import Record

ROOT = Path(__file__).resolve().parents[2]
ROLES = {"tracker", "historian", "forecaster", "ranker", "scorer", "gateway", "heart"}
TOPICS = pytest.mark.parametrize("any_topic", CATALOGUE.values(), ids=list(CATALOGUE))


def test_every_record_has_one_topic_and_a_forecast_another_for_shadows() -> None:
    topics = [topic for topic in CATALOGUE.values() if topic is not SHADOW_FORECASTS]
    listed = [record for topic in topics for record in records(topic)]
    assert set(listed) == set(Record.__args__)
    assert len(listed) == len(set(listed))


@TOPICS
def test_names_are_those_of_kafka(any_topic: Topic) -> None:
    assert CATALOGUE[any_topic.name] is any_topic
    assert re.fullmatch(r"[a-z]+\.[a-z]+", any_topic.name)


@TOPICS
def test_parties_are_known(any_topic: Topic) -> None:
    parties = {*any_topic.writers, *any_topic.readers}
    assert any_topic.writers and any_topic.readers
    assert parties <= ROLES | OUTSIDE
    # What the gateway hands on as it is, is public too.
    handed_on = "gateway" in parties and any_topic.encoding == "json"
    assert any_topic.public == bool(parties & OUTSIDE or handed_on)


@TOPICS
def test_a_key_that_names_a_field_names_one_of_the_record(any_topic: Topic) -> None:
    if any_topic.key.endswith("_id"):
        assert all(any_topic.key in record.__annotations__ for record in records(any_topic))


@TOPICS
def test_settings_for_the_broker(any_topic: Topic) -> None:
    configs = any_topic.configs()
    assert set(configs) <= {"cleanup.policy", "retention.ms", STAMPED_BY}
    comes_in = "heart" in any_topic.writers or any_topic is DEAD_LETTERS
    assert (configs.get(STAMPED_BY) == BROKER) == comes_in
    assert ("delete" in configs["cleanup.policy"]) == ("retention.ms" in configs)


@TOPICS
def test_records_say_their_topic(any_topic: Topic) -> None:
    for record in records(any_topic):
        internal = "" if any_topic.public else r" \(internal\)"
        assert re.search(rf"Topic `{any_topic.name}`{internal}\.", record.__doc__ or "")


def test_documentation_names_only_topics_that_there_are() -> None:
    firsts = "|".join({name.split(".")[0] for name in CATALOGUE})
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        named = set(re.findall(rf"`((?:{firsts})\.(?!py`)[a-z]+)`", page.read_text()))
        assert named <= set(CATALOGUE), page


def test_decision_keys() -> None:
    assert decision_key("paris", 'a "b"') == rb'["paris","a \"b\""]'
    assert decision_key("paris") == b'["paris"]'


def test_decisions_and_epochs_are_told_apart_by_their_tag() -> None:
    tags = {record.__struct_config__.tag for record in records(CACHE_DECISIONS)}
    assert tags == {"decision", "epoch"}


def test_dead_letters_are_any_bytes() -> None:
    assert DEAD_LETTERS.codec.encode(msgspec.Raw(b"\xff\x00")) == b"\xff\x00"
