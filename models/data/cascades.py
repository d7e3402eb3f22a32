"""Reads files of recorded cascades, the format that DeepHawkes, CasFlow, ConCat and CasFT read.

One cascade a line, tab-separated:

    cascade_id  root_user  publish_time  n_events  path:delay path:delay ...

where `path` is `root/.../parent/user`, `delay` is seconds since publication, and the first event
is the root, `root_user:0`. `n_events` counts the events, with or without the root. Events are
parted by U+0020 alone: users may hold any other space. Blank lines are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.datasets import ROOT, UNKNOWN_PARENT, Cascade
from models.data.text import number, opened, shown, unix_seconds
from topics.records import YEAR_2100

_FIELDS = "cascade_id, root_user, publish_time, n_events, events"


def read_cascades(path: Path | str) -> Iterator[Cascade]:
    """The cascades of a file, one by one, in the file's order.

    Events are put in order of delay. Those of one moment keep their order, but that a parent comes
    before what was reshared from it. A file is read as a stream: memory is that of its longest line
    and of all identifiers.

    Raises:
        DataFormatError: while iterating, at the first line that is not in the format, or has the
            identifier of one before.
        OSError: the file cannot be opened.
    """
    seen: dict[str, int] = {}
    with opened(path) as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                cascade = _cascade(line.rstrip(" \r\n"))
            except ValueError as error:
                raise lines.error(str(error)) from error
            before = seen.setdefault(cascade.cascade_id, lines.number)
            if before != lines.number:
                raise lines.error(
                    f"cascade {shown(cascade.cascade_id)} is there twice; line {before} has it too"
                )
            yield cascade


def _cascade(line: str) -> Cascade:
    """The cascade of a line; raises a `ValueError` that says what is wrong with it."""
    fields = line.split("\t")
    while len(fields) > 5 and not fields[-1].strip(" "):  # tabs at the line's end
        fields.pop()
    if len(fields) != 5:
        raise ValueError(
            f"got {len(fields)} tab-separated fields; expected 5: {_FIELDS} "
            "(docs/data.md converts other formats)"
        )
    cascade_id, root_user, published_at, stated, text = (field.strip(" ") for field in fields)
    if not cascade_id:
        raise ValueError("got no cascade_id; expected an identifier")
    published = _named("publish_time", unix_seconds, published_at)
    count = _named("n_events", number, stated)
    events = [event for event in text.split(" ") if event]
    if count not in (len(events), len(events) - 1):
        why = "is the line cut short?" if len(events) < count else "has a user a space in its name?"
        raise ValueError(f"got {len(events)} events where n_events says {stated}; {why}")
    heads, delays = _parted(events)
    if not heads or heads[0] != root_user or delays[0] != 0:
        first = shown(events[0]) if events else "none"
        raise ValueError(f"the first event must be the root, {root_user}:0; got {first}")
    if published + delays.max() >= YEAR_2100:
        raise ValueError(
            f"got an event {delays.max():.0f} s after publication, beyond 2099; expected delays in "
            "seconds. Are they milliseconds?"
        )
    if (np.diff(delays) < 0).any():
        order = np.argsort(delays, kind="stable")
        delays = delays[order]
        heads = [heads[index] for index in order]
    users, parents = _graph(heads, delays)
    return Cascade(cascade_id, root_user, published, users, parents, delays)


def _named(field: str, read: Callable[[str], float], text: str) -> float:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


def _parted(events: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
    """The path of each event, and its delay, shape (events,)."""
    parts = [event.rpartition(":") for event in events]
    try:
        delays = np.array([float(delay) for _, _, delay in parts], np.float64)
    except ValueError:
        delays = np.array([np.nan])
    heads = [head for head, _, _ in parts]
    sound = (
        np.isfinite(delays).all()
        and (delays >= 0).all()
        and not any(head.endswith("/") or not head for head in heads)
        and "_" not in (texts := "".join([delay for _, _, delay in parts]))
        and texts.isascii()
    )
    if not sound:
        raise ValueError(_unsound(parts))
    return heads, delays


def _unsound(parts: Sequence[tuple[str, str, str]]) -> str:
    """What is wrong with the first event with which anything is."""
    for place, (head, colon, delay) in enumerate(parts, 1):
        which = f"event {place}, {shown(head + colon + delay)}"
        if not colon:
            return f"{which}: got no delay; expected path:delay. No user has a space in its name"
        if not head or head.endswith("/"):
            return f"{which}: got no user before the delay"
        try:
            if number(delay) < 0:
                return f"{which}: the delay is {delay}; expected seconds, not negative"
        except ValueError as error:
            return f"{which}: the delay: {error}"
    raise AssertionError("every event is sound")


def _graph(heads: list[str], delays: NDArray[np.float64]) -> tuple[list[str], NDArray[np.int32]]:
    """Users, and the index of each event's parent, shape (events,), of paths in order of time."""
    users, named, first = _read_paths(heads)
    if any(
        first.get(parent, -1) > index and delays[first[parent]] == delays[index]
        for index, parent in enumerate(named)
    ):
        heads = [heads[index] for index in _parents_first(named, first, delays)]
        users, named, first = _read_paths(heads)
    parents = np.array([first.get(parent, len(heads)) for parent in named], np.int32)
    parents[parents >= np.arange(len(heads))] = UNKNOWN_PARENT
    parents[0] = ROOT
    return users, parents


def _read_paths(heads: Sequence[str]) -> tuple[list[str], list[str], dict[str, int]]:
    """Of each path the user and its parent, "" where there is none, and each user's first event."""
    users, named = [], []
    first: dict[str, int] = {}
    for index, head in enumerate(heads):
        ancestors, _, user = head.rpartition("/")
        first.setdefault(user, index)
        users.append(user)
        named.append(ancestors[ancestors.rfind("/") + 1 :])
    return users, named, first


def _parents_first(
    named: Sequence[str], first: dict[str, int], delays: NDArray[np.float64]
) -> list[int]:
    """An order of the events in which a parent comes before its children of the same moment.

    It departs from the order given only for that. In a circle of reshares the last one that is
    named comes first.
    """
    order: list[int] = []
    placed = [False] * len(named)
    for index in range(len(named)):
        waiting = []
        while not placed[index]:
            placed[index] = True
            waiting.append(index)
            parent = first.get(named[index], index)
            if delays[parent] == delays[index]:
                index = parent
        order += reversed(waiting)
    return order
