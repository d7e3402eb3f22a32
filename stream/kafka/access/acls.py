"""Who may do what on the brokers: the least that each party needs, as Kafka's access control lists.

    the catalogue: who reads and who writes each topic ─┐
    consumer groups, and what commands ask beside it ───┴─► acls ─► `tidecast topics acls`

A party is whoever has a user of its own: a role, a command of the operators, a party outside. On
Kafka Read and Write allow Describe as well. No party needs a right on the cluster: since Kafka 2.8
whoever may write to a topic may do so idempotently (KIP-679), and `topics create` may be allowed
for each topic by its name.

    PartyError(TidecastError)    a party that there is not
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from stream.settings import Settings
from topics.catalogue import (
    CATALOGUE,
    DEAD_LETTERS,
    EDGE_REQUESTS,
    FORECAST_SCORES,
    MODEL_UPDATES,
    POPULARITY_FORECASTS,
    READS,
    REDRIVEN_LETTERS,
    ROLE_NOTICES,
    SOCIAL_EVENTS,
    WORKED_OFF,
    WRITTEN,
)
from topics.errors import TidecastError

Operation: TypeAlias = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Resource: TypeAlias = Literal["topic", "group"]
Pattern: TypeAlias = Literal["literal", "prefixed"]

# The catalogue's name for whoever works with the commands below, each of which is a party here.
OPERATORS = "operators"
# Of the roles with several consumer groups, those beside the one of its name.
FURTHER_GROUPS = {"scorer": ("calibrator",)}

_INPUTS = (SOCIAL_EVENTS.name, EDGE_REQUESTS.name)
# What commands of an operator do, by the party that a user for them is.
_COMMANDS: Mapping[str, Mapping[Operation, Sequence[str]]] = {
    "topics": {"Create": tuple(CATALOGUE), "Describe": tuple(CATALOGUE)},
    "doctor": {
        "Describe": tuple(name for name in CATALOGUE if name not in (*_INPUTS, ROLE_NOTICES.name)),
        "DescribeConfigs": tuple(CATALOGUE),
        "Read": (*_INPUTS, ROLE_NOTICES.name),
    },
    "dead-letters": {
        "Read": (DEAD_LETTERS.name, REDRIVEN_LETTERS.name),
        "Write": (REDRIVEN_LETTERS.name, *WORKED_OFF, *WRITTEN),
        "DescribeConfigs": (*WORKED_OFF, *WRITTEN),
    },
    "models": {
        "Read": (MODEL_UPDATES.name, POPULARITY_FORECASTS.name, FORECAST_SCORES.name),
        "Write": (MODEL_UPDATES.name,),
    },
    # They look how far a topic has come before they send anything that would be too late.
    "traffic": {"Read": _INPUTS, "Write": _INPUTS},
}
COMMANDS: Mapping[str, str] = {
    "topics": "topics create",
    "doctor": "doctor",
    "dead-letters": "dead-letters list, show, redrive",
    "models": "models publish, promote, rollback, show",
    "traffic": "replay, simulate",
}


class PartyError(TidecastError):
    """A party that there is not."""


class Acl(NamedTuple):
    """One thing that a party may do.

    Attributes:
        party: who, as `slug` spells it.
        operation: what, as kafka-acls.sh spells it.
        resource: on what kind of thing.
        name: of it; where `pattern` is prefixed, what its name begins with.
        pattern: as above.
    """

    party: str
    operation: Operation
    resource: Resource
    name: str
    pattern: Pattern = "literal"


def acls(settings: Settings, parties: Iterable[str] = ()) -> list[Acl]:
    """What each of the parties needs, each once, in order of the parties.

    Args:
        settings: whose `group_prefix` the groups have.
        parties: as `slug` spells them; all when empty.

    Raises:
        PartyError: there is no such party.

    >>> [(acl.operation, acl.name) for acl in acls(Settings(), ["edge-agents"])]
    [('Read', 'cache.decisions')]
    """
    found: dict[str, list[Acl]] = {role: [] for role in READS}  # in order of the flow
    for acl in dict.fromkeys((*_of_catalogue(), *_of_groups(settings), *_of_commands())):
        found.setdefault(acl.party, []).append(acl)
    chosen = list(parties) or list(found)
    for party in chosen:
        if party not in found:
            raise PartyError(f"got the party {party!r}; known are {', '.join(found)}")
    return [acl for party in chosen for acl in found[party]]


def slug(party: str) -> str:
    """A party of the catalogue as one word.

    >>> slug("edge agents")
    'edge-agents'
    """
    return party.replace(" ", "-")


def _of_catalogue() -> Iterator[Acl]:
    for topic in CATALOGUE.values():
        sides: tuple[tuple[Operation, Sequence[str]], ...] = (
            ("Read", topic.readers), ("Write", topic.writers),
        )  # fmt: skip
        for operation, parties in sides:
            for party in parties:
                if party != OPERATORS:
                    yield Acl(slug(party), operation, "topic", topic.name)


def _of_groups(settings: Settings) -> Iterator[Acl]:
    for role in READS:
        for name in (role, *FURTHER_GROUPS.get(role, ())):
            yield Acl(role, "Read", "group", settings.group(name))
        # The gateway tells how far each role is, and since when the oldest message waits.
        yield Acl("gateway", "Describe", "group", settings.group(role))
    for name in WORKED_OFF:
        yield Acl("gateway", "Read", "topic", name)
    yield Acl("gateway", "Describe", "topic", DEAD_LETTERS.name)  # how many there are
    # Who reads from outside has groups of its own, under its own name.
    yield Acl("social-platforms", "Read", "group", "social-platforms.", "prefixed")


def _of_commands() -> Iterator[Acl]:
    for party, does in _COMMANDS.items():
        for operation, topics in does.items():
            for name in topics:
                yield Acl(party, operation, "topic", name)
