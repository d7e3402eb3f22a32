"""Objects as targets of requests.

An object's id is the target of its requests: `/v/17.mp4?hd=1`; with the host before it where one
cache serves several sites: `a.example/v/17.mp4`. The cache's configuration decides which, and says
the same in its log of requests, hence in the decisions.

Decisions come from a log that anyone may have written to, and some of what they name is put into
requests by the agent itself. Only what a client could have asked for goes there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from topics.records import LONGEST_OBJECT

_HOST = r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
# Printable ASCII without spaces, and without a fragment, which no client sends.
_OBJECT = re.compile(rf"({_HOST})?(/[!\"$-~]*)")


class Target(NamedTuple):
    """What a client asks for."""

    host: str  # empty: of the one site that there is
    path: str  # with its query


def target(object_id: str) -> Target | None:
    r"""The target that an object's id is, if it is one.

    >>> target("/v/17.mp4?hd=1"), target("a.example/v/17.mp4")
    (Target(host='', path='/v/17.mp4?hd=1'), Target(host='a.example', path='/v/17.mp4'))
    >>> target("17"), target("/a b"), target("/a\r\nb"), target("/a#b"), target("b@a.example/")
    (None, None, None, None, None)
    """
    found = _OBJECT.fullmatch(object_id)
    if found is None or len(object_id) > LONGEST_OBJECT:
        return None
    return Target(found[1] or "", found[2])
