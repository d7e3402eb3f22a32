"""Faults on purpose, to see that tests notice: `make mutants`, or some of them by name.

    make mutants ARGS="score-counted-twice tombstone-dropped"

Each `*.patch` here is a fault as somebody might make it. Its first line says which, `Tests:` the
files that are to notice. One after another is applied to a copy of the tree, as it is now, and its
tests are run until the first that fails; before that all have to pass without any. What nothing
notices is a missing test; a patch that does not apply has to be written anew. Both make the exit
code 1. What was found of each is written to the table, README.md.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
TABLE = FOLDER / "README.md"
HEAD = """\
# Faults that tests notice

Written by `make mutants`, which applies one fault at a time and runs the tests that are to notice
it until the first that fails. A fault that nothing notices is a missing test.

| patch | fault | in | noticed by |
|---|---|---|---|
"""


class MutantError(Exception):
    """A patch that cannot be tried."""


class Mutant(NamedTuple):
    """A fault.

    Attributes:
        name: of its file.
        fault: in words.
        tests: files that are to notice it.
        file: that it is in.
    """

    name: str
    fault: str
    tests: tuple[str, ...]
    file: str

    @property
    def patch(self) -> Path:
        """Its file."""
        return FOLDER / f"{self.name}.patch"


def read(patch: Path) -> Mutant:
    """A fault from its file.

    Raises:
        MutantError: it does not say what it is.
    """
    text = patch.read_text()
    found = re.match(r"(.+)\nTests: (.+)\n\n--- a/(.+)\n", text)
    if found is None:
        raise MutantError(
            f"{patch.name}: expected a line that says the fault, `Tests: FILE ...`, an empty line "
            "and a diff from the root of the repository"
        )
    return Mutant(patch.stem, found[1], tuple(found[2].split()), found[3])


def git(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs git."""
    return subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the tree, with changes that are not committed, and a folder for its kernels."""
    state = git("stash", "create").stdout.strip() or "HEAD"
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        made = git("worktree", "add", "--quiet", "--detach", tree, state)
        if made.returncode:
            raise MutantError(f"no copy of the tree can be made: {made.stderr.strip()}")
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", tree)


def run(tree: Path, tests: Sequence[str], kernels: Path, *options: str) -> list[str]:
    """Which tests failed.

    Raises:
        MutantError: they cannot be run.
    """
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-m", "not system and not data", *options]
    environment = {**os.environ, "PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(kernels)}
    done = subprocess.run(
        [sys.executable, *words, *tests], cwd=tree, env=environment, capture_output=True, text=True
    )
    if done.returncode == 0:
        return []
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    if not failed:
        raise MutantError(
            f"{' '.join(tests)}: pytest says\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return failed


def tried(mutant: Mutant, tree: Path, kernels: Path) -> list[str]:
    """The first test that notices a fault; empty where none does.

    Raises:
        MutantError: its patch does not apply.
    """
    applied = git("apply", mutant.patch, cwd=tree)
    if applied.returncode:
        raise MutantError(
            f"{mutant.patch.name} does not apply any more, write it anew: {applied.stderr.strip()}"
        )
    own = kernels
    if "njit" in (tree / mutant.file).read_text():
        own = kernels.with_name("own")  # kernels keep what they were compiled from, callers too
    try:
        return run(tree, mutant.tests, own, "-x")
    finally:
        git("checkout", "--quiet", "--", ".", cwd=tree)
        shutil.rmtree(kernels.with_name("own"), ignore_errors=True)


def note(mutant: Mutant, failed: Sequence[str]) -> None:
    """Writes its line of the table; the others stay, where their patches are still there."""
    rows: dict[str, str] = {}
    for line in TABLE.read_text().splitlines() if TABLE.exists() else []:
        found = re.match(r"\| \[([\w-]+)\]\(", line)
        if found and (FOLDER / f"{found[1]}.patch").exists():
            rows[found[1]] = line
    # Without its parameters, which may be anything.
    told = f"`{failed[0].partition('[')[0]}`" if failed else "**nothing**"
    name = mutant.name
    rows[name] = f"| [{name}]({name}.patch) | {mutant.fault} | `{mutant.file}` | {told} |"
    TABLE.write_text(HEAD + "".join(rows[name] + "\n" for name in sorted(rows)))


def main() -> int:
    """Tries the faults that are asked for; 1 where one was not noticed or could not be tried."""
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument("names", nargs="*", help="of patches; default: all of them")
    names = parser.parse_args().names
    known = {mutant.name: mutant for mutant in map(read, sorted(FOLDER.glob("*.patch")))}
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"got {', '.join(unknown)}; expected some of {', '.join(known)}")
    noticed = 0
    missed: list[str] = []
    with copied() as tree:
        kernels = tree.with_name("kernels")
        print("the tests without any fault", flush=True)
        files = sorted({file for name in names or known for file in known[name].tests})
        unsound = run(tree, files, kernels)
        for name in names or known:
            mutant = known[name]
            try:
                for test in unsound:
                    if test.partition("::")[0] in mutant.tests:
                        raise MutantError(f"{test} fails without any fault")
                failed = tried(mutant, tree, kernels)
            except MutantError as error:
                missed.append(f"{name}: {error}")
                print(f"{name}: {error}", flush=True)
                continue
            note(mutant, failed)
            noticed += bool(failed)
            if not failed:
                missed.append(f"{name}: nothing notices it. {mutant.fault}")
            print(f"{name}: {failed[0] if failed else 'NOT NOTICED'}", flush=True)
    print(f"{noticed} of {len(names or known)} faults were noticed")
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
