"""Answers that say why there is no other: problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from stream.gateway.views import Problem

MEDIA = "application/problem+json"


def problem(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem as a response."""
    body = msgspec.json.encode(Problem(title, status, detail))
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, MEDIA)
