"""Objects as targets of requests.

Decisions come from a log that anyone may have written to, and some of what they name is put into
requests by the agent itself. Only what a client could have asked for goes there.
"""

from __future__ import annotations

import re

_TARGET = re.compile("/[!-~]{0,2047}")  # printable ASCII without spaces


def is_target(object_id: str) -> bool:
    """Whether an object's id is a path, with its query, as it stands in a request.

    >>> is_target("/v/17.mp4?hd=1"), is_target("17"), is_target("/a b"), is_target("/a\\r\\nb")
    (True, False, False, False)
    """
    return _TARGET.fullmatch(object_id) is not None
