"""Why there is no other answer: what every HTTP server here says, as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

MEDIA = "application/problem+json"
# Of RFC 9110 and RFC 5789. One that is none of them is not implemented, whatever it is asked of.
_METHODS = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
}  # fmt: skip


class Problem(msgspec.Struct, frozen=True):
    """Why there is no other answer (RFC 9457)."""

    title: str
    status: int
    detail: Annotated[str, Meta(description="What was got, what is allowed, what to do.")]


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    title: str
    detail: str
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it

    def encode(self) -> bytes:
        """The body that says so."""
        return msgspec.json.encode(Problem(self.title, self.status, self.detail))


def wrong_method(method: str, path: str, allowed: Iterable[str]) -> Refusal:
    """Of a request by a method that its path does not take.

    Args:
        allowed: those that it takes, which the answer has to name (RFC 9110, 15.5.6).
    """
    taken = ", ".join(sorted(allowed))
    if method not in _METHODS:
        return Refusal(501, "no such method", f"got {method[:40]}; {path} takes {taken}")
    return Refusal(405, "not this way", f"got {method} {path}; it takes {taken}", {"allow": taken})
