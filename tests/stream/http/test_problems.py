"""Why there is no other answer, whoever gives it."""

from __future__ import annotations

import json

from stream.http.problems import wrong_method


def test_what_a_path_takes_is_named() -> None:
    refusal = wrong_method("TRACE", "/status", {"HEAD", "GET"})
    assert (refusal.status, refusal.headers) == (405, {"allow": "GET, HEAD"})
    assert json.loads(refusal.encode()) == {
        "title": "not this way", "status": 405, "detail": "got TRACE /status; it takes GET, HEAD",
    }  # fmt: skip


def test_what_is_no_method_is_not_implemented() -> None:
    refusal = wrong_method("BREW" * 1_000, "/status", ["GET"])
    assert (refusal.status, refusal.headers) == (501, {})
    assert len(refusal.encode()) < 200
