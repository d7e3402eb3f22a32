"""A forecaster that loads an update when a line comes in on its standard input, not before.

It is the real role, by the real command line: the line stands for the seconds that a large version
takes, for as many as a test asks.
"""

from __future__ import annotations

import sys
from typing import Any

if __name__ == "__main__":
    from stream.cli import main
    from stream.serving import current as serving

    load = serving.load_update

    def load_when_told(*arguments: Any) -> Any:
        print("an update is loaded", file=sys.stderr, flush=True)
        sys.stdin.readline()
        return load(*arguments)

    serving.load_update = load_when_told
    sys.argv = ["tidecast", "forecaster"]
    main()
