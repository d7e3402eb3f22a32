"""Answers that say why there is no other, as Starlette gives them."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from stream.http.problems import MEDIA, Refusal


def problem(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem as a response."""
    refusal = Refusal(status, title, detail)
    return Response(
        refusal.encode(), status, {"cache-control": "no-store", **(headers or {})}, MEDIA
    )
