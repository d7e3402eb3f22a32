"""What in a record contradicts itself, though each of its fields is what it should be.

Whoever holds records to this: the roles before they use one, redrive before it sends one back, the
gateway before it draws one.
"""

from __future__ import annotations

import numpy as np

from topics.records import BIN_EDGES, INEXACT, YEAR_2100, CascadeSnapshot, EdgeWindow

EVENT_BYTES = 4  # of one event in each packed array


def of_snapshot(snapshot: CascadeSnapshot) -> str | None:
    """What in the snapshot contradicts itself and would mislead or stop a model, if anything."""
    lengths = {name: len(getattr(snapshot, name)) for name in ("delay", "parent", "depth", "user")}
    described = lengths["delay"] // EVENT_BYTES
    if len(set(lengths.values())) > 1 or lengths["delay"] % EVENT_BYTES:
        return f"packed arrays: got {lengths} bytes; expected equal lengths, 4 bytes an event"
    if snapshot.observed_count < described:
        return (
            f"observed_count: got {snapshot.observed_count}; "
            f"expected at least the {described} events that are described"
        )
    # A kernel goes from events to their parents without looking whether those are there.
    parents, delays = snapshot.parents(), snapshot.delays()
    if described and not -2 <= parents.min() <= parents.max() < described:
        return (
            f"parent: got {parents.min()} to {parents.max()}; "
            f"expected indices of {described} events, or -1 and -2"
        )
    if described and not (delays.min() >= 0 and delays.max() < YEAR_2100):
        return f"delay: got {delays.min()} to {delays.max()}; expected seconds, under 130 years"
    if len(snapshot.rest) not in (0, 4 * (len(BIN_EDGES) + 1)):
        return (
            f"rest: got {len(snapshot.rest)} bytes; "
            f"expected none or {4 * (len(BIN_EDGES) + 1)}, one count for each bin"
        )
    if snapshot.rest and snapshot.rest_counts().min() < 0:
        return f"rest: got {snapshot.rest_counts().min()}; expected counts of 0 or more"
    return None


def of_window(window: EdgeWindow) -> str | None:
    """What in the window contradicts itself and would mislead or stop a ranker, if anything."""
    objects = len(window.objects)
    lengths = len(window.count), len(window.size)
    if lengths != (4 * objects, 8 * objects):
        return f"count, size: got {lengths} bytes; expected 4 and 8 for each of {objects} objects"
    if len(window.order) % 4:
        return f"order: got {len(window.order)} bytes; expected 4 a request"
    if window.part >= window.parts:
        return f"part: got {window.part} of {window.parts}; parts count from 0"
    order = window.requests()
    if order.size and not 0 <= order.min() <= order.max() < objects:
        return f"order: got {order.min()} to {order.max()}; expected indices of {objects} objects"
    if len(set(window.objects)) < objects:
        return f"objects: only {len(set(window.objects))} of {objects} are distinct"
    if order.size and (window.counts() != np.bincount(order, minlength=objects)).any():
        return "count: it is not what order says; expected the requests of each object"
    if objects and window.sizes().min() < 0:
        return f"size: got {window.sizes().min()}; expected 0 bytes or more"
    if window.start / window.length >= INEXACT:
        return f"length: got {window.length} s; windows that short cannot be numbered"
    return None
