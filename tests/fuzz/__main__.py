"""Coverage-guided fuzzing of every decoder and reader, by atheris.

    make fuzz                                      every reader for a minute
    make fuzz ARGS="checkpoint settings --seconds 600"
    make fuzz ARGS="checkpoint --input runs/fuzz/checkpoint/finding"    a finding once more

A finding is an error other than those by which a reader refuses, a record outside its bounds, more
than ten seconds (--longest) or 2 GiB over one input. Its input lies in the reader's folder, where
inputs that reach new code are gathered too, so that the next run begins with them. Exit code 1 with
findings.

`tests/test_hostile_input.py` gives the same readers drawn input, whatever reaches new code or not;
this finds what only a search can.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a child of a process with OpenMP's threads would stand still

import atheris
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

PACKAGES = ["models", "stream", "topics"]
# Kernels are compiled from their code as it is written, so it is left as it is.
KERNELS = [
    ".".join(path.with_suffix("").parts)
    for package in PACKAGES
    for path in Path(package).rglob("*.py")
    if "njit" in path.read_text()
]
with redirect_stderr(StringIO()), atheris.instrument_imports(PACKAGES, KERNELS):
    from tests.fuzz.readers import READERS

MEMORY = 2_048  # MiB that one input may cost
console = Console(soft_wrap=True, highlight=False)


def search(name: str, folder: Path, limits: list[str]) -> int:
    """Fuzzes a reader in a process of its own; its exit code, not 0 with a finding."""
    folder.mkdir(parents=True, exist_ok=True)
    reader = READERS[name]
    for number, seed in enumerate(reader.seeds):
        (folder / f"seed-{number}").write_bytes(seed)

    def tried(data: bytes) -> int | None:
        try:
            return None if reader(data) else -1
        except Exception:
            (folder / "finding").write_bytes(data)  # libFuzzer does not always come to do so
            raise

    process = os.fork()  # libFuzzer ends the process that it runs in
    if not process:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        bounds = [f"-rss_limit_mb={MEMORY}", f"-artifact_prefix={folder}/"]
        atheris.Setup([name, *bounds, *limits, str(folder)], tried)
        atheris.Fuzz()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def told(folder: Path) -> tuple[str, str]:
    """Of a log: the inputs tried, and the last lines where something was found."""
    lines = (folder / "log").read_text(errors="replace").splitlines()
    runs = [line.split()[1] for line in lines if line.startswith("Done ")]
    return runs[-1] if runs else "?", "\n".join(lines[-30:])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--seconds", type=int, default=60, help="for each reader; default: 60")
    parser.add_argument("--runs", type=int, help="inputs for each reader, in place of a time")
    parser.add_argument(
        "--longest", type=int, default=10, help="seconds that one input may take; default: 10"
    )
    parser.add_argument("--input", type=Path, help="give a reader this file, and nothing else")
    parser.add_argument("--folder", type=Path, default=Path("runs/fuzz"), help="default: runs/fuzz")
    options = parser.parse_args()
    unknown = set(options.readers) - READERS.keys()
    if unknown:
        parser.error(f"no reader is named {', '.join(unknown)}; there are {', '.join(READERS)}")
    if options.input and len(options.readers) != 1:
        parser.error("--input is for one reader: name it")
    return options


def main() -> None:
    """Fuzzes what was named, or everything."""
    options = parsed()
    if options.input:
        accepted = READERS[options.readers[0]](options.input.read_bytes())
        console.print("accepted" if accepted else "refused, as it may be")
        return
    limits = [f"-runs={options.runs}" if options.runs else f"-max_total_time={options.seconds}"]
    limits.append(f"-timeout={options.longest}")
    names = options.readers or list(READERS)
    table = Table("reader", "inputs", "finding")
    found = []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        for name in progress.track(names, description="fuzzing"):
            folder = options.folder / name.replace(" ", "-")
            code = search(name, folder, limits)
            runs, end = told(folder)
            table.add_row(name, runs, f"exit code {code}" if code else "none")
            if code:
                found.append(name)
                console.print(f"{name}:\n{end}", markup=False)
    console.print(table)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
