"""The domains in one object."""

from __future__ import annotations

import dataclasses

from stream.settings import Settings, domains, load


def test_every_setting_has_its_reason() -> None:
    assert all(entry.metadata["reason"] for entry in dataclasses.fields(Settings))


def test_every_setting_is_in_one_domain() -> None:
    listed = [entry.name for _, entries in domains() for entry in entries]
    assert listed == [entry.name for entry in dataclasses.fields(Settings)]
    headings = [heading for heading, _ in domains()]
    assert headings[0] == "Kafka"
    assert len(set(headings)) == len(headings) == len(Settings.__bases__)


def test_the_environment_of_settings_gives_the_same_settings() -> None:
    settings = load(environment={}, kafka="a:1,b:2", window="90s", horizons="1h,24h,48h")
    assert load(environment=settings.environment()) == settings
