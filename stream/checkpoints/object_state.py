"""The state of plain objects as arrays, and back: what a `state_dict` is to PyTorch.

An object that is made anew in the same way, and then restored, behaves as the one that was saved.
State are attributes: arrays, tensors, numbers, texts, dictionaries of those, and lists, tuples and
objects of all of them. An object that is met a second time is the same one again. What is made of
settings and models and never changes is left as it was made.

    ObjectStateError(TidecastError)    an attribute is no state, or saved state is of another class
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.checkpoints.content import Arrays, packed
from stream.settings import Settings
from topics.errors import TidecastError

_PLAIN = (bool, int, float, str, type(None))


class ObjectStateError(TidecastError, ValueError):
    """An attribute is no state, or saved state is of another class."""


def save(thing: Any) -> dict[str, NDArray[Any]]:
    """A copy of the state of an object, or of a list of them.

    Raises:
        ObjectStateError: an attribute is of a type that cannot be saved.
    """
    arrays: dict[str, NDArray[Any]] = {}
    tree = _saved(thing, arrays, set(), type(thing).__name__)
    return {**arrays, "tree": packed(msgspec.msgpack.encode(tree))}


def restore(thing: Any, arrays: Arrays) -> None:
    """Makes an object, newly made, what was saved.

    Raises:
        ObjectStateError: another class was saved.
    """
    _restored(thing, msgspec.msgpack.decode(arrays["tree"].tobytes()), arrays)


def _saved(value: Any, arrays: dict[str, NDArray[Any]], seen: set[int], where: str) -> list[Any]:
    """A node of the tree: its kind, and what that kind needs; arrays go beside it."""
    if _is_fixed(value):
        return ["fixed"]
    if isinstance(value, np.generic):
        return ["scalar", _add(np.asarray(value), arrays)]
    if isinstance(value, _PLAIN):
        return ["plain", value]
    if isinstance(value, np.ndarray):
        return ["array", _add(value, arrays)]
    if isinstance(value, dict):
        if not all(isinstance(part, _PLAIN) for pair in value.items() for part in pair):
            raise ObjectStateError(f"{where}: got a dictionary; expected one of plain values")
        return ["dict", list(value), list(value.values())]
    if isinstance(value, list | tuple):
        nodes = [_saved(item, arrays, seen, f"{where}[{i}]") for i, item in enumerate(value)]
        return ["list" if isinstance(value, list) else "tuple", nodes]
    if not hasattr(value, "__dict__"):
        raise ObjectStateError(f"{where}: got a {type(value).__name__}, which is no state")
    if id(value) in seen:
        return ["again"]
    seen.add(id(value))
    attributes = {
        name: _saved(own, arrays, seen, f"{where}.{name}") for name, own in vars(value).items()
    }
    return ["object", type(value).__name__, attributes]


def _restored(value: Any, node: list[Any], arrays: Arrays) -> Any:
    """What stands for a node, given what the newly made object has in its place."""
    kind, *rest = node
    if kind in ("fixed", "again"):
        return value
    if kind == "scalar":
        return arrays[rest[0]][()]
    if kind == "plain":
        return rest[0]
    if kind in ("array", "tensor"):  # tensors were kept before networks were stepped by kernels
        return arrays[rest[0]].copy()
    if kind == "dict":
        return type(value)(zip(*rest, strict=True))
    if kind in ("list", "tuple"):
        places = [*value, *[None] * (len(rest[0]) - len(value))]
        items = [_restored(*pair, arrays) for pair in zip(places, rest[0], strict=False)]
        return items if kind == "list" else tuple(items)
    name, attributes = rest
    if type(value).__name__ != name or vars(value).keys() != attributes.keys():
        raise ObjectStateError(
            f"got the state of a {name} with {sorted(attributes)}; expected a "
            f"{type(value).__name__} with {sorted(vars(value))}"
        )
    for attribute, own in attributes.items():
        setattr(value, attribute, _restored(getattr(value, attribute), own, arrays))
    return value


def _add(array: NDArray[Any], arrays: dict[str, NDArray[Any]]) -> str:
    name = str(len(arrays))
    arrays[name] = np.array(array, order="C")
    return name


def _is_fixed(value: Any) -> bool:
    """Whether it is no state: settings, and what says so itself by an attribute `FIXED`."""
    return isinstance(value, Settings) or getattr(type(value), "FIXED", False)
