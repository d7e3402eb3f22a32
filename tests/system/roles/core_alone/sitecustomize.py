"""A Python that has the core of tidecast and no extra: what belongs to one is not found.

Imported by every interpreter whose PYTHONPATH has this folder. `CORE_ALONE_WITHOUT` names the
packages that are not found. A process writes the names of the modules it has into the folder
`CORE_ALONE_TOLD` when it ends in its own order.
"""

import atexit
import os
import sys
from typing import Any

MISSING = os.environ["CORE_ALONE_WITHOUT"].split(",")
TOLD = os.environ["CORE_ALONE_TOLD"]


class _Without:
    """A finder of modules that finds nothing of what is missing."""

    def __init__(self, finder: Any) -> None:
        self._finder = finder

    def find_spec(self, name: str, *where: Any) -> Any:
        return None if name.split(".")[0] in MISSING else self._finder.find_spec(name, *where)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def _tell() -> None:
    with open(os.path.join(TOLD, str(os.getpid())), "w") as file:
        file.write("\n".join([" ".join(sys.argv[1:2]), *sorted(sys.modules)]))


sys.meta_path[:] = [_Without(finder) for finder in sys.meta_path]
atexit.register(_tell)
