"""Templates: texts of values, and one name for what is one object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stream.sources.formats.errors import FieldError, FormatError
from stream.sources.formats.templates import template
from stream.sources.formats.values import lookup


def filled(text: str, record: Any, parameters: Mapping[str, str] = {}) -> Any:
    value = template(text, parameters)
    return value.of(*lookup(value.paths)(record))


RECORD = {
    "scheme": "https", "host": "WWW.Example.com:443", "path": "/a/b.js", "number": 7, "share": 0.5,
    "whole": 8.0, "flag": True, "query": "v=1&utm_source=x&page=2&utm_medium=y", "empty": "",
    "target": "/a/b.js?v=1&utm_source=x#top", "url": "http://Example.com:80/a?b=1", "none": None,
    "request": "GET /a?b=1 HTTP/1.1", "object": {"a": 1}, "server": "cache-fra1-FRA",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{scheme}://{host:host}{path}?{query:keep=v,page}", "https://www.example.com/a/b.js?v=1&page=2"),
        ("{path}?{query:drop=utm_*}", "/a/b.js?v=1&page=2"),
        ("{path}?{query:keep=nothing}", "/a/b.js"),
        ("{path}?{none:keep=v}", "/a/b.js"),
        ("{path}?{empty:drop=v}", "/a/b.js"),
        ("{query:drop=utm_*:sort}", "page=2&v=1"),
        ("{target:path}?{target:query:drop=utm_*}", "/a/b.js?v=1"),
        ("{url:origin}{url:path}?{url:query}", "http://example.com/a?b=1"),
        ("{request:word=2:path}", "/a"),
        ("{server:part=-,-1:lower}", "fra"),
        ("{number} {share} {whole} {flag}", "7 0.5 8 true"),
        ("{{{number}}}", "{7}"),
        ("{$edge}/{number}", "fra-3/7"),
        ("{path}?{query:drop=$dropped}", "/a/b.js?v=1"),
        ("{scheme}{none}", None),
        ("{scheme}{empty}", None),
        ("{scheme}{object}", None),
        ("{$unset}{number}", None),
        ("{object.a}", "1"),
    ],
)  # fmt: skip
def test_a_template_is_filled_in(text: str, expected: str | None) -> None:
    given = {"edge": "fra-3", "dropped": "utm_*,page", "unset": ""}
    assert filled(text, RECORD, given) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a", "without its other"),
        ("a}", "without its other"),
        ("{a:squeeze}", "expected one of lower, word"),
        ("{:lower}", "no path before"),
        ("{$edge}", "no parameter 'edge'; there is none"),
        ("{a:part=-}", "not as the documentation has it"),
        ("{a:word=x}", "not as the documentation has it"),
        ("{a..b}", "names with dots"),
    ],
)
def test_what_is_no_template_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        template(text, {})


@pytest.mark.parametrize("text", ["{path:origin}", "{path:word=4}", "{path:part=-,3}"])
def test_a_value_that_has_no_such_part_is_refused(text: str) -> None:
    with pytest.raises(FieldError, match=r"got '/a/b\.js'; expected"):
        filled(text, RECORD)
