"""What of an object's id may stand in a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from stream.edge.target import Target, target

_SIGNS = [chr(code) for code in range(0x21, 0x7F)]


@pytest.mark.parametrize(
    ("object_id", "found"),
    [
        ("/", Target("", "/")),
        ("/v/17.mp4?hd=1&t=%20b", Target("", "/v/17.mp4?hd=1&t=%20b")),
        ("//evil.example/x", Target("", "//evil.example/x")),
        ("a.example/v", Target("a.example", "/v")),
        ("a.example:8080/v?u=/b.example/", Target("a.example:8080", "/v?u=/b.example/")),
        ("[::1]:80/v", Target("[::1]:80", "/v")),
        ("/" + "s" * 2_047, Target("", "/" + "s" * 2_047)),
        ("a/" + "s" * 2_046, Target("a", "/" + "s" * 2_046)),
    ],
)
def test_a_target_with_or_without_its_host(object_id: str, found: Target) -> None:
    assert target(object_id) == found


@pytest.mark.parametrize(
    "object_id",
    ["", "17", "a.example", "/a b", "/a\r\nX: 1", "/é", "/a#b", "#", "user@a.example/v",
     "http://a.example/v", "A.example/v", "a.example:/v", "a b/v", "[::1/v", "/" + "s" * 2_048,
     "a/" + "s" * 2_047, "/a\n"],
)  # fmt: skip
def test_what_no_client_could_have_asked_for_is_none(object_id: str) -> None:
    assert target(object_id) is None


@given(st.text(st.sampled_from(_SIGNS), max_size=40))
def test_what_varnish_is_told_about_is_the_object_to_the_letter(rest: str) -> None:
    found = target("/" + rest)
    assert (found is None) == ("#" in rest)
    if found is not None:
        url = URL(f"http://127.0.0.1:6086/.tidecast/decision?/{rest}", encoded=True)
        assert url.raw_path_qs == "/.tidecast/decision?/" + rest
