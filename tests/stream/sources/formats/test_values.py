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


def test_what_is_remembered_is_computed_once_and_lists_each_time() -> None:
    asked: list[Any] = []

    def of(*found: Any) -> Any:
        asked.append(found)
        return len(found)

    kept = remembered(of)
    assert [kept("a"), kept("a"), kept("a", "b")] == [1, 1, 2]
    assert asked == [("a",), ("a", "b")]
    assert [kept([1]), kept([1])] == [1, 1]
    assert asked[2:] == [([1],), ([1],)]
    # 1, True and 1.0 are equal, and mean something else.
    assert [kept(1), kept(True), kept(1.0)] == [1, 1, 1]
    assert len(asked) == 7


def test_a_value_without_paths_is_a_constant() -> None:
    assert computed(constant("x"), ["a"])(("y",)) == "x"
    assert computed(Value(("b",), lambda b: b), ["a", "b"])((1, 2)) == 2
