"""What may be asked: the query parameters of each endpoint, bounded, unknown ones refused."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta
from starlette.datastructures import QueryParams

Q = TypeVar("Q", bound=msgspec.Struct)

Text = Annotated[str, Meta(max_length=256)]
Limit = Annotated[int, Meta(ge=1, le=200)]
Offset = Annotated[int, Meta(ge=0, le=1_000_000)]
Kind = Literal["changes", "forecast", "outcome", "epoch", "decision", "score"]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters."""


class CascadesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which cascades."""

    sort: Annotated[
        Literal["default", "growth", "viral", "count", "recent"],
        Meta(
            description="By forecast growth, probability of going viral, count, or news. The "
            "default is growth, and news of an archive."
        ),
    ] = "default"
    state: Annotated[
        Literal["current", "live", "closed", "all"],
        Meta(
            description="Live: the forecast is fresh and its last horizon still to come. Current: "
            "those, or all as an archive where none is live."
        ),
    ] = "current"
    q: Annotated[Text, Meta(description="Part of the identifier.")] = ""
    model: Annotated[Text, Meta(description="That made the newest forecast.")] = ""
    limit: Limit = 20
    offset: Offset = 0


class CascadeQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How much of one cascade."""

    nodes: Annotated[
        int, Meta(ge=2, le=1_000, description="Of the graph at most; more are summarised.")
    ] = 240


class DueQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many of the latest."""

    limit: Limit = 20


class EdgesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which edges."""

    limit: Limit = 100
    offset: Offset = 0


class EdgeQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which decisions of one edge."""

    q: Annotated[Text, Meta(description="Part of the object's identifier.")] = ""
    limit: Limit = 50
    offset: Offset = 0


class StreamQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which events."""

    events: Annotated[
        str,
        Meta(
            max_length=100,
            description="Kinds, comma-separated: changes (what to ask for anew), and the records "
            "themselves: forecast, outcome, epoch, decision, score.",
        ),
    ] = "changes"
    id: Annotated[
        Text, Meta(description="Only records of this cascade or edge; empty for all.")
    ] = ""


def read(kind: type[Q], parameters: QueryParams) -> Q:
    """The parameters as the query's type.

    Raises:
        msgspec.ValidationError: one that is unknown, given twice, or not allowed as it is.
    """
    given = dict(parameters.multi_items())
    if len(given) < len(parameters.multi_items()):
        raise msgspec.ValidationError("a parameter is given twice; each may be given once")
    return msgspec.convert(given, kind, strict=False)


def kinds(events: str) -> frozenset[Kind]:
    """The kinds of events named in a list.

    Raises:
        msgspec.ValidationError: one that there is not.
    """
    named = [kind.strip() for kind in events.split(",") if kind.strip()]
    return msgspec.convert(named, frozenset[Kind])
