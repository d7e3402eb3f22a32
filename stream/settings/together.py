"""`Settings`: the domains in one object, for there is one configuration of a process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import Field, dataclass
from typing import Any

from stream.secret import Secret
from stream.settings.cascades import Cascades
from stream.settings.checkpoints import Checkpoints
from stream.settings.domain import Domain
from stream.settings.edge_agents import EdgeAgents
from stream.settings.edges import Edges
from stream.settings.gateway import Gateway
from stream.settings.http_access import HttpAccess
from stream.settings.kafka import Kafka
from stream.settings.kafka_security import KafkaSecurity
from stream.settings.models import Models
from stream.settings.scores import Scores
from stream.settings.spelling import PREFIX, spell
from stream.settings.telemetry import Telemetry


# Dataclasses take the fields of their bases from the last to the first: read it upwards.
@dataclass(frozen=True)
class Settings(
    Telemetry,
    Checkpoints,
    Scores,
    HttpAccess,
    Gateway,
    Models,
    EdgeAgents,
    Edges,
    Cascades,
    KafkaSecurity,
    Kafka,
):
    """Every setting, with its default and the reason for it."""

    def having(self, **changes: Any) -> Settings:
        """The settings with some of them changed."""
        return dataclasses.replace(self, **changes)

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, secrets too, for the processes of the roles."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            PREFIX + name.upper(): value.reveal() if isinstance(value, Secret) else spell(value)
            for name, value in values.items()
        }


def domains() -> Iterator[tuple[str, tuple[Field[Any], ...]]]:
    """The heading of each domain, and its settings, in the order of `Settings`."""
    for domain in reversed(Settings.__bases__):
        assert issubclass(domain, Domain)
        yield domain.heading, dataclasses.fields(domain)
