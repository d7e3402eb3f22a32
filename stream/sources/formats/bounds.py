"""What a record's field takes: its kind, and its bounds, as the contract has them.

`msgspec.convert` says the same (a test holds the two together), at several times the cost: it looks
the type up for each value. Texts are taken for numbers and truth values, as logs have them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import inspect

from stream.sources.formats.errors import FieldError, shown

Taken = Callable[[Any], Any]
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def taker(type_: Any) -> Taken:
    """What makes a value of the field's kind, and refuses what is outside its bounds.

    Args:
        type_: of the field; one that is, or may be missing, text, a number, a truth value or one of
            some texts.
    """
    info = inspect.type_info(type_)
    if isinstance(info, inspect.UnionType):
        [info] = [one for one in info.types if not isinstance(one, inspect.NoneType)]
    if isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.LiteralType):
        return _one_of(info.values)
    if isinstance(info, inspect.StrType):
        return _text(info)
    if isinstance(info, inspect.BoolType):
        return _truth
    if isinstance(info, inspect.IntType | inspect.FloatType):
        return _number(info)
    raise NotImplementedError(f"no mapping fills a field of {info}")


def as_text(value: Any) -> str:
    """A number or a truth value as JSON writes it.

    Raises:
        FieldError: a list or an object.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    raise FieldError(f"got {shown(value)}; expected a text or a number")


def _one_of(allowed: tuple[Any, ...]) -> Taken:
    there = frozenset(allowed)

    def one_of(value: Any) -> Any:
        text = as_text(value)
        if text not in there:
            raise FieldError(f"got {shown(value)}; expected one of {', '.join(allowed)}")
        return text

    return one_of


def _text(info: inspect.StrType) -> Taken:
    least, most = info.min_length or 0, info.max_length or 1 << 30
    pattern = None if info.pattern is None else re.compile(info.pattern)

    def text(value: Any) -> str:
        if type(value) is not str:
            value = as_text(value)
        if not least <= len(value) <= most:
            raise FieldError(
                f"got {len(value)} characters, {shown(value)}; expected {least} to {most}"
            )
        if pattern is not None and not pattern.search(value):
            raise FieldError(f"got {shown(value)}; expected what matches {info.pattern}")
        return str(value)

    return text


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _TRUTH[as_text(value).lower()]
    except KeyError:
        raise FieldError(f"got {shown(value)}; expected true or false") from None


def _number(info: inspect.IntType | inspect.FloatType) -> Taken:
    kind = int if isinstance(info, inspect.IntType) else float
    told = {"ge": info.ge, "gt": info.gt, "le": info.le, "lt": info.lt}
    bounds = " and ".join(
        f"{sign} {told[name]:g}"
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if told[name] is not None
    )
    expected = f"a {'whole ' if kind is int else ''}number{' ' + bounds if bounds else ''}"
    least = info.ge if info.ge is not None else float("-inf")
    above = info.gt if info.gt is not None else float("-inf")
    most = info.le if info.le is not None else float("inf")
    below = info.lt if info.lt is not None else float("inf")

    def number(value: Any) -> Any:
        found = value if value.__class__ is kind else _read(value, kind)
        if found is None or not (least <= found <= most and above < found < below):
            raise FieldError(f"got {shown(value)}; expected {expected}")
        return found

    return number


def _read(value: Any, kind: type[int] | type[float]) -> int | float | None:
    """A number that came as another kind, or as text; None where it is none of this kind."""
    try:
        found = kind(value) if type(value) is not bool else None
        return found if found == float(value) else None  # a part of a whole, and NaN
    except (TypeError, ValueError, OverflowError):
        return _whole(value) if kind is int and isinstance(value, str) else None


def _whole(text: str) -> int | None:
    """A whole number that is written with a point."""
    try:
        found = float(text)
    except ValueError:
        return None
    return int(found) if found.is_integer() else None
