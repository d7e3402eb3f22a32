"""The environment of the processes that tests start."""

from __future__ import annotations

import os
from pathlib import Path

from stream.processes.roles import inherited
from stream.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def environment(settings: Settings) -> dict[str, str]:
    """That of a process that runs this checkout with these settings and no others."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**inherited(), **settings.environment(), "PYTHONPATH": path}
