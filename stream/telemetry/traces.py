"""The trace that a message belongs to, as the header `traceparent` of W3C Trace Context.

    event (its own header, if the sender gave one) -> snapshot -> forecast
    request (likewise) -> window -> decisions

The header of the message that caused a snapshot or a window is carried on as it is. Where there is
none, one is derived from the id of the snapshot or the window, so a repeat has the same bytes. The
last field, `01` or `00`, says whether the trace is sampled: of derived ones a share is
(`trace_share`), by the trace id alone.

Source: W3C Trace Context, version 00.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import xxhash

TRACEPARENT = "traceparent"
Headers = Iterable[tuple[str, bytes]]
_FORM = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")


def carried(headers: Headers) -> bytes | None:
    """The traceparent among the headers; None where there is none that is one."""
    for name, value in headers:
        if name == TRACEPARENT and value is not None and _FORM.fullmatch(value):
            return value
    return None


def derived(identity: str, share: float = 0.0) -> bytes:
    """The traceparent of what is known by `identity`, sampled for a `share` of identities."""
    data = identity.encode()
    trace = xxhash.xxh3_128_hexdigest(data)
    span = xxhash.xxh3_64_hexdigest(data, seed=1)
    sampled = "01" if int(trace[16:], 16) < share * 2.0**64 else "00"
    return f"00-{trace}-{span}-{sampled}".encode()


def of(headers: Headers, identity: str, share: float = 0.0) -> bytes:
    """The traceparent that the headers carry, else the one derived from `identity`."""
    return (carried(headers) if headers else None) or derived(identity, share)


def trace_id(traceparent: bytes) -> str:
    """The trace id in a traceparent: 32 hexadecimal digits."""
    return traceparent[3:35].decode()


def is_sampled(traceparent: bytes) -> bool:
    """Whether spans of the trace are to be recorded."""
    return bool(int(traceparent[53:55], 16) & 1)
