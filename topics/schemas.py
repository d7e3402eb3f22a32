"""Two JSON Schemas held against each other: what one allows and the other refuses.

Covers what msgspec writes for records (types, enumerations, bounds, arrays, objects, references,
alternatives). A keyword that is not known here has to be equal on both sides: better a change
refused that would have done no harm than one let through that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

Schema = dict[str, Any]
# (inclusive bound, exclusive bound or None, 1 for a lower bound and -1 for an upper, of what)
_BOUNDS = (
    ("minimum", "exclusiveMinimum", 1, "a lower value"),
    ("minLength", None, 1, "a shorter text"),
    ("minItems", None, 1, "fewer items"),
    ("maximum", "exclusiveMaximum", -1, "a higher value"),
    ("maxLength", None, -1, "a longer text"),
    ("maxItems", None, -1, "more items"),
)
_COMPARED = {"type", "enum", "anyOf", "$ref", "properties", "required", "items"}
_COMPARED |= {name for inclusive, exclusive, *_ in _BOUNDS for name in (inclusive, exclusive or "")}
_ANNOTATIONS = {"title", "description", "default", "examples", "$schema", "$defs", "discriminator"}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


class Finding(NamedTuple):
    """Something about one place of a schema."""

    where: str
    what: str


@dataclass(frozen=True)
class View:
    """A schema together with the document that its references point into."""

    root: Schema
    schema: Schema

    def at(self, schema: Schema) -> View:
        """A part of the same document."""
        return View(self.root, schema)

    def variants(self) -> list[View]:
        """The alternatives of the schema, references followed."""
        if "$ref" in self.schema:
            target: Any = self.root
            for step in self.schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            return self.at(target).variants()
        if "anyOf" in self.schema:
            return [view for option in self.schema["anyOf"] for view in self.at(option).variants()]
        return [self]

    @property
    def kind(self) -> str:
        """The JSON type of a variant; that of its values where it is an enumeration."""
        if "enum" in self.schema:
            return _TYPES[type(self.schema["enum"][0])]
        return str(self.schema.get("type", "anything"))

    @property
    def items(self) -> View:
        """The schema of an array's items."""
        return self.at(self.schema.get("items", {}))

    def fields(self) -> dict[str, View]:
        """The schemas of an object's fields."""
        return {name: self.at(field) for name, field in self.schema.get("properties", {}).items()}


def removals(old: View, new: View, where: str) -> Iterator[Finding]:
    """Fields of `old` that `new` lacks or reads differently where left out, at any depth."""
    later = {view.kind: view for view in new.variants()}
    for before in old.variants():
        after = later.get(before.kind)
        if after is None:
            continue
        if before.kind == "array":
            yield from removals(before.items, after.items, f"{where}[]")
        fields = after.fields()
        for name, field in before.fields().items():
            if name not in fields:
                yield Finding(f"{where}.{name}", "the field is gone")
                continue
            meant, means = (f.schema.get("default", ...) for f in (field, fields[name]))
            if ... not in (meant, means) and meant != means:
                yield Finding(
                    f"{where}.{name}", f"left out it meant {meant!r} and now means {means!r}"
                )
            yield from removals(field, fields[name], f"{where}.{name}")


def refusals(sent: View, read: View, where: str) -> Iterator[Finding]:
    """What a reader of `read` refuses of what a writer of `sent` may write."""
    accepted = read.variants()
    for variant in sent.variants():
        kinds = {variant.kind, "anything"} | ({"number"} if variant.kind == "integer" else set())
        same = [view for view in accepted if view.kind in kinds]
        if not same:
            choice = " or ".join(view.kind for view in accepted)
            yield Finding(where, f"{variant.kind} is refused, {choice} is accepted")
        elif not any(next(_refused(variant, view, where), None) is None for view in same):
            yield from _refused(variant, same[0], where)


def _refused(sent: View, read: View, where: str) -> Iterator[Finding]:
    """As `refusals`, of one variant by one variant of the same type."""
    for what in _refused_values(sent.schema, read.schema):
        yield Finding(where, what)
    if sent.kind == read.kind == "array":
        yield from refusals(sent.items, read.items, f"{where}[]")
    theirs, known = read.fields(), sent.fields()
    for name in read.schema.get("required", ()):
        if name not in known:
            yield Finding(f"{where}.{name}", "is required, and not known to its writer")
        elif name not in sent.schema.get("required", ()):
            yield Finding(f"{where}.{name}", "is required, and its writer may leave it out")
    for name, field in known.items():
        if name in theirs:
            yield from refusals(field, theirs[name], f"{where}.{name}")


def _refused_values(sent: Schema, read: Schema) -> Iterator[str]:
    """Values that `sent` allows and `read` refuses by its enumeration, bounds or other keywords."""
    if "enum" in read:
        if "enum" not in sent:
            yield f"only {_listed(read['enum'])} is accepted"
        elif refused := [value for value in sent["enum"] if value not in read["enum"]]:
            yield f"{_listed(refused)} is refused"
        return
    for inclusive, exclusive, side, what in _BOUNDS:
        ours, theirs = (_bound(schema, inclusive, exclusive, side) for schema in (sent, read))
        if theirs is not None and (ours is None or theirs > ours):
            limit = "down to" if side > 0 else "up to"
            written = "any" if ours is None else f"{limit} {side * ours[0]}"
            yield f"{what} than {side * theirs[0]} is refused, written may be {written}"
    for keyword in sorted(set(read) - _COMPARED - _ANNOTATIONS):
        if sent.get(keyword) != read[keyword]:
            yield f"{keyword} is {read[keyword]!r} for its reader, {sent.get(keyword)!r} written"


def _bound(
    schema: Schema, inclusive: str, exclusive: str | None, side: int
) -> tuple[float, int] | None:
    """A bound such that the greater one allows less; None where there is none."""
    if inclusive in schema:
        return side * schema[inclusive], 0
    if exclusive is not None and exclusive in schema:
        return side * schema[exclusive], 1
    return None


def _listed(values: list[Any]) -> str:
    return ", ".join(map(repr, values))
