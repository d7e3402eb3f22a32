"""What is computed of rows, and remembered."""

from __future__ import annotations

from typing import Any

from stream.sources.formats.values import (
    Value,
    at,
    computed,
    constant,
    first,
    lookup,
    paths_of,
    plain,
    remembered,
    together,
)


def test_several_values_share_what_they_look_at() -> None:
    both = together([at("a"), at("b.c")], lambda a, c: (a, c))
    either = first([at("b.c"), at("a")])
    paths = paths_of([both, either])
    assert paths == ["a", "b.c"]
    row = lookup(paths)({"a": 1, "b": {"c": ""}})
    assert computed(both, paths)(row) == (1, None)  # an empty text is nothing
    assert computed(either, paths)(row) == 1


def test_behind_what_is_always_there_nothing_is_looked_at() -> None:
    assert first([constant(None), constant("x"), at("a")]).paths == ()
    assert first([at("a"), constant("x"), at("b")]).paths == ("a",)
    assert first([constant(None)]).of() is None
    three = together([constant(1), constant(2)], lambda *both: sum(both))
    assert (three.paths, three.of()) == ((), 3)


def test_what_is_remembered_is_computed_once() -> None:
    asked: list[Any] = []

    def of(*found: Any) -> Any:
        asked.append(found)
        return len(found)

    kept = remembered(of)
    assert [kept("a"), kept("a"), kept("a", "b")] == [1, 1, 2]
    assert asked == [("a",), ("a", "b")]
    # 1, True and 1.0 are equal, and mean something else.
    assert [kept(1), kept(True), kept(1.0)] == [1, 1, 1]
    assert len(asked) == 5


def test_a_row_holds_what_can_be_remembered() -> None:
    record = {"a": [1], "b": {"c": 2}, "d": 3}
    assert lookup(["a", "b", "b.c", "d"])(record) == (None, None, 2, 3)
    assert plain(([1], {}, "x", None)) == (None, None, "x", None)
    row = (1, "x", None)
    assert plain(row) is row


def test_a_value_without_paths_is_a_constant() -> None:
    assert computed(constant("x"), ["a"])(("y",)) == "x"
    assert computed(Value(("b",), lambda b: b), ["a", "b"])((1, 2)) == 2
