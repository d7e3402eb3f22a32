"""What somebody waits for who tries tidecast: from the command to the first forecast, in a clone.

    .venv/bin/python benchmarks/first_minutes.py --json first_minutes.json
    .venv/bin/python benchmarks/first_minutes.py --environment .venv      # without an installation

HEAD is cloned into a temporary folder, and `make run` is run there twice. The first run installs
and compiles, the second finds both done. Measured are seconds to the page's address and to the
first forecast that the page has, the longest time without a line until then, the size of the
environment, and the resident memory of each process when the first forecasts are out.
With `--environment` that one is used, by the clone's code; kernels are compiled anew all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from parts import roles

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 1_800.0  # seconds that a run may take to its first forecast
SETTLED = 10.0  # seconds after that at which memory is read
LOOK = 0.1


@dataclass
class Start:
    """One run, in seconds since its command.

    Attributes:
        page: until its address was printed: what comes before is set-up.
        forecast: until the page had a forecast.
        silence: the longest time without a line until then.
        after: the line that it came after.
        resident: megabytes of each process.
    """

    page: float = 0.0
    forecast: float = 0.0
    silence: float = 0.0
    after: str = ""
    resident: dict[str, float] = field(default_factory=dict)


class Output:
    """The lines of a process, as they come, and the longest time between two."""

    def __init__(self, process: subprocess.Popen[str], began: float) -> None:
        self.page = ""
        self.page_at = 0.0
        self.silence = 0.0
        self.after = "the command"
        self._process = process
        self._began = self._latest = began
        self._line = "the command"
        self._measures = True
        threading.Thread(target=self._read, daemon=True).start()

    def end(self) -> None:
        """Measures no more silences."""
        self._note("")
        self._measures = False

    def _read(self) -> None:
        for line in self._process.stdout or ():
            print(f"    {line}", end="", flush=True)
            if self._measures:
                self._note(line.strip())
            if line.startswith("live page:"):
                self.page_at = time.monotonic() - self._began
                self.page = line.split()[-1]

    def _note(self, line: str) -> None:
        now = time.monotonic()
        if now - self._latest > self.silence:
            self.silence, self.after = now - self._latest, self._line
        self._latest, self._line = now, line


def start(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Start:
    """Runs the command until forecasts are out, and stops it.

    Raises:
        RuntimeError: it ended, or none came.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output = Output(process, began)
        while not has_forecast(output.page):
            if process.poll() is not None or time.monotonic() - began > LONGEST:
                raise RuntimeError(f"no forecast came; the run ended with {process.poll()}")
            time.sleep(LOOK)
        forecast = time.monotonic() - began
        output.end()
        time.sleep(SETTLED)
        return Start(output.page_at, forecast, output.silence, output.after, resident(process.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def has_forecast(page: str) -> bool:
    """Whether the page's gateway has received one."""
    if not page:
        return False
    try:
        with urllib.request.urlopen(f"{page}/api/health", timeout=5) as answer:
            return bool(json.load(answer)["forecasts"])
    except OSError:  # it is not there yet
        return False


def resident(parent: int) -> dict[str, float]:
    """Megabytes of each role and of the broker below a process."""
    return {name: one.memory_info().rss / 1e6 for name, one in roles.of(parent).items()}


def size(folder: Path) -> float:
    """Megabytes of the files below a folder, links not followed."""
    files = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files) / 1e6


def commands(clone: Path, environment: Path | None) -> tuple[list[list[str]], dict[str, str]]:
    """What starts everything in a clone, first and then again, and with which environment."""
    inherited = {name: value for name, value in os.environ.items()
                 if not name.startswith(("TIDECAST_", "MAKE", "PYTHONPATH", "NUMBA_"))}  # fmt: skip
    if environment is None:
        return [["make", "run"], ["make", "run"]], inherited
    python = str(environment.absolute() / "bin" / "python")
    both = f"{python} deploy/compile_kernels.py && exec {python} -m stream up"
    again = [python, "-m", "stream", "up"]
    return [["sh", "-c", both], again], {**inherited, "PYTHONPATH": str(clone)}


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--environment", type=Path, help="use this one, install none")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "tidecast"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        both, environment = commands(clone, asked.environment)
        starts = {}
        for which, command in zip(("first", "second"), both, strict=True):
            print(f"{which} start: {' '.join(command)}", flush=True)
            starts[which] = start(command, clone, environment)
        megabytes = size(asked.environment.resolve() if asked.environment else clone / ".venv")
    print(f"\n{'':28}{'first':>10}{'second':>10}")
    for name, what in (("page", "page's address, s"), ("forecast", "first forecast, s"),
                       ("silence", "longest silence, s")):  # fmt: skip
        values = "".join(f"{getattr(one, name):10.1f}" for one in starts.values())
        print(f"{what:28}{values}")
    for role in sorted(starts["second"].resident):
        values = "".join(f"{one.resident.get(role, 0):10.0f}" for one in starts.values())
        print(f"{'resident, MB: ' + role:28}{values}")
    print(f"{'environment, MB':28}{megabytes:10.0f}")
    for which, one in starts.items():
        print(f"the longest silence of the {which} start came after: {one.after}")
    if asked.json:
        figures = {which: asdict(one) for which, one in starts.items()}
        told = {"environment_mb": megabytes, "cores": os.cpu_count(), **figures}
        asked.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
