"""Each change that breaks somebody is caught, for whom it breaks; additions pass."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from topics.compatibility import CompatibilityError, breaks, check
from topics.contract import ASYNCAPI, documents

COMMITTED = documents(4)
Contract = dict[str, dict[str, Any]]
Change = Callable[[Contract], Any]


def schema(contract: Contract, record: str) -> dict[str, Any]:
    return contract[f"schemas/{record}.json"]


def field(record: str, name: str, **keywords: Any) -> Change:
    """A change of one field's keywords; None takes a keyword away."""

    def change(contract: Contract) -> None:
        found = schema(contract, record)["properties"][name]
        for keyword, value in keywords.items():
            found.pop(keyword) if value is None else found.update({keyword: value})

    return change


def replaced(record: str, name: str, by: dict[str, Any]) -> Change:
    return lambda contract: schema(contract, record)["properties"].update({name: by})


def without(record: str, name: str) -> Change:
    def change(contract: Contract) -> None:
        del schema(contract, record)["properties"][name]
        required = schema(contract, record)["required"]
        if name in required:
            required.remove(name)

    return change


def required(record: str, name: str) -> Change:
    def change(contract: Contract) -> None:
        schema(contract, record)["properties"].setdefault(name, {"type": "string"})
        schema(contract, record)["required"].append(name)

    return change


def optional(record: str, name: str) -> Change:
    return lambda contract: schema(contract, record)["required"].remove(name)


def channel(topic: str, **keywords: Any) -> Change:
    return lambda contract: contract[ASYNCAPI]["channels"][topic].update(keywords)


def kafka(topic: str, **keywords: Any) -> Change:
    return lambda contract: contract[ASYNCAPI]["channels"][topic]["bindings"]["kafka"].update(
        keywords
    )


def config(topic: str, keyword: str, value: Any) -> Change:
    return lambda contract: contract[ASYNCAPI]["channels"][topic]["bindings"]["kafka"][
        "topicConfiguration"
    ].update({keyword: value})


def message(name: str, **keywords: Any) -> Change:
    return lambda contract: contract[ASYNCAPI]["components"]["messages"][name].update(keywords)


def key(name: str, description: str) -> Change:
    return lambda contract: contract[ASYNCAPI]["components"]["messages"][name].update(
        bindings={"kafka": {"key": {"type": "string", "description": description}}}
    )


def topic_gone(contract: Contract) -> None:
    del contract[ASYNCAPI]["channels"]["social.events"]


def record_gone(contract: Contract) -> None:
    del contract[ASYNCAPI]["channels"]["cache.decisions"]["messages"]["EdgeEpoch"]


def record_new(topic: str) -> Change:
    return lambda contract: contract[ASYNCAPI]["channels"][topic]["messages"].update(
        {"Another": {"$ref": "#/components/messages/Another"}}
    )


def header_gone(contract: Contract) -> None:
    contract[ASYNCAPI]["components"]["messages"]["DeadLetter"]["headers"]["required"].remove("role")


def inner(record: str, name: str) -> Change:
    """A field of a record inside a record is gone."""

    def change(contract: Contract) -> None:
        definition = schema(contract, "PopularityForecast")["$defs"][record]
        del definition["properties"][name]
        definition["required"].remove(name)

    return change


WRITERS, READERS, ALL = ["writers"], ["readers"], ["all"]
NULL = {"type": "null"}
# What is changed: the change, where it is told, for whom it breaks.
BREAKING: dict[str, tuple[Change, str, list[str]]] = {
    "a topic removed": (topic_gone, "social.events, topic", ALL),
    "a topic made internal": (
        channel("cascade.outcomes", **{"x-internal": True}), "cascade.outcomes, topic", ALL,
    ),
    "a record removed": (record_gone, "cache.decisions, EdgeEpoch", ALL),
    "a record added to an output": (
        record_new("cache.decisions"), "cache.decisions, Another", READERS,
    ),
    "a key changed": (key("SocialEvent", "user_id"), "SocialEvent, key", ALL),
    "an encoding changed": (
        message("SocialEvent", contentType="text/csv"), "SocialEvent, encoding", ALL,
    ),
    "a header removed": (header_gone, "DeadLetter, header role", READERS),
    "one partition made many": (
        kafka("model.updates", partitions=4), "model.updates, partitions", READERS,
    ),
    "compaction added": (
        config("cascade.outcomes", "cleanup.policy", ["compact", "delete"]),
        "cascade.outcomes, cleanup", READERS,
    ),
    "deletion added": (
        config("cache.decisions", "cleanup.policy", ["compact", "delete"]),
        "cache.decisions, cleanup", READERS,
    ),
    "retention shortened": (
        config("social.events", "retention.ms", 1000), "social.events, retention", READERS,
    ),
    "retention given where there was none": (
        config("cache.decisions", "retention.ms", 1000), "cache.decisions, retention", READERS,
    ),
    "an input's field removed": (without("SocialEvent", "content_id"), ".content_id", ALL),
    "an output's field removed": (without("CascadeOutcome", "final"), ".final", ALL),
    "an internal field removed": (without("CascadeSnapshot", "depth"), ".depth", ALL),
    # Forecasts are on two topics, the shadows' too, and each is broken.
    "an inner field removed": (
        inner("Quantiles", "p50"), ".horizons[].quantiles.p50", ["all", "all"],
    ),
    "a field renamed": (
        lambda c: (without("EdgeRequest", "object_id")(c), required("EdgeRequest", "url")(c)),
        "EdgeRequest.object_id", ["all", "writers"],
    ),
    "a type changed": (
        replaced("CascadeOutcome", "final", {"type": "string"}), ".final",
        ["writers", "readers"],
    ),
    "a number narrowed to whole ones": (
        field("SocialEvent", "timestamp", type="integer"), ".timestamp", WRITERS,
    ),
    "an output's whole number widened": (
        field("CascadeOutcome", "count", type="number"), ".count", READERS,
    ),
    "null no longer allowed": (
        replaced("EdgeRequest", "hit", {"type": "boolean", "default": None}), ".hit", WRITERS,
    ),
    "an output made null at times": (
        replaced("CascadeOutcome", "final", {"anyOf": [{"type": "boolean"}, NULL]}), ".final",
        READERS,
    ),
    "an input's field required": (required("SocialEvent", "content_id"), ".content_id", WRITERS),
    "a required field added": (required("SocialEvent", "language"), ".language", WRITERS),
    "an output's field made optional": (optional("CascadeOutcome", "age"), ".age", READERS),
    "an upper bound tightened": (
        field("SocialEvent", "cascade_id", maxLength=64), ".cascade_id", WRITERS,
    ),
    "a lower bound tightened": (
        field("SocialEvent", "cascade_id", minLength=2), ".cascade_id", WRITERS,
    ),
    "an inclusive bound made exclusive": (
        field("SocialEvent", "timestamp", minimum=None, exclusiveMinimum=0), ".timestamp",
        WRITERS,
    ),
    "an exclusive bound made lower and inclusive": (
        field("EdgeRequest", "timestamp", exclusiveMaximum=None, maximum=5), ".timestamp",
        WRITERS,
    ),
    "a bound given where there was none": (
        field("CacheDecision", "reason", minLength=5), ".reason", WRITERS,
    ),
    "an output's bound loosened": (
        field("CacheDecision", "reason", maxLength=500), ".reason", READERS,
    ),
    "an output's bound taken away": (
        field("CacheDecision", "reason", maxLength=None), ".reason", READERS,
    ),
    "a list shortened": (
        field("PopularityForecast", "horizons", maxItems=8), ".horizons", ["writers", "writers"],
    ),
    "the items of a list changed": (
        field("EdgeWindow", "objects", items={"type": "integer"}), ".objects[]", WRITERS,
    ),
    "an input's value removed": (
        field("SocialEvent", "kind", enum=["post", "share", "reply"]), ".kind", WRITERS,
    ),
    "an output's value added": (
        field("CacheDecision", "verdict", enum=["admit", "prefetch", "evict"]), ".verdict",
        READERS,
    ),
    "a free text made an enumeration": (
        replaced("SocialEvent", "user_id", {"enum": ["me"]}), ".user_id", WRITERS,
    ),
    "an output's enumeration made free": (
        replaced("CacheDecision", "verdict", {"type": "string"}), ".verdict", READERS,
    ),
    "a pattern changed": (
        field("ModelUpdate", "digest", pattern="^md5:"), ".digest", WRITERS,
    ),
    "unknown fields refused": (
        lambda c: schema(c, "SocialEvent").update(additionalProperties=False), "SocialEvent",
        WRITERS,
    ),
    "a default changed": (field("EdgeRequest", "size", default=0), ".size", ALL),
}  # fmt: skip

HARMLESS: dict[str, Change] = {
    "nothing": lambda contract: None,
    "an optional field added to an input": lambda c: schema(c, "SocialEvent")["properties"].update(
        language={"anyOf": [{"type": "string"}, NULL], "default": None}
    ),
    "an optional field added to an output": lambda c: schema(c, "CacheDecision")[
        "properties"
    ].update(cost={"type": "number", "default": 0}),
    "a description changed": field("SocialEvent", "cascade_id", description="Of the cascade."),
    "an input's bound loosened": field("SocialEvent", "cascade_id", maxLength=512),
    "an input's bound taken away": field("SocialEvent", "cascade_id", maxLength=None),
    "an input's value added": field(
        "SocialEvent", "kind", enum=["post", "share", "reply", "view", "like"]
    ),
    "an input's field made optional": optional("EdgeRequest", "object_id"),
    "an input's enumeration made free": replaced("SocialEvent", "kind", {"type": "string"}),
    "an input's whole number widened": replaced(
        "EdgeRequest", "size", {"anyOf": [{"type": "number"}, NULL], "default": None}
    ),
    "a topic added": lambda c: c[ASYNCAPI]["channels"].update({"a.b": {}}),
    "a record added to an input": record_new("social.events"),
    "retention lengthened": config("social.events", "retention.ms", 1 << 40),
    "an internal topic made public": lambda c: c[ASYNCAPI]["channels"]["edge.windows"].pop(
        "x-internal"
    ),
    "more partitions by default": kafka("social.events", partitions=8),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_that_breaks_somebody_is_caught(name: str) -> None:
    change, where, broken = BREAKING[name]
    changed = deepcopy(COMMITTED)
    change(changed)
    found = list(breaks(COMMITTED, changed))
    assert [who(fault.broken) for fault in found] == broken
    assert all(where in f"{fault.topic}, {fault.where}" for fault in found[:1])
    assert all(fault.remedy for fault in found)
    with pytest.raises(CompatibilityError):
        check(COMMITTED, changed)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_change_that_breaks_nobody_passes(name: str) -> None:
    changed = deepcopy(COMMITTED)
    HARMLESS[name](changed)
    check(COMMITTED, changed)


def test_the_first_contract_breaks_nobody() -> None:
    check({}, COMMITTED)


def test_the_error_says_what_broke_for_whom_and_what_to_do() -> None:
    changed = deepcopy(COMMITTED)
    field("SocialEvent", "cascade_id", maxLength=64)(changed)
    with pytest.raises(CompatibilityError) as raised:
        check(COMMITTED, changed)
    assert str(raised.value) == (
        "1 change breaks the committed contract\n"
        "  social.events, SocialEvent.cascade_id: a longer text than 64 is refused, written may "
        "be up to 256\n"
        "    breaks: writers (social platforms, heart), messages already in the log\n"
        "    do: accept what the committed schema allows; give a new field a default"
    )


def who(broken: str) -> str:
    """The short name of who is broken."""
    if broken.startswith("writers") and "readers" in broken:
        return "all"
    return broken.split()[0]
