"""Every shell command that the documentation names, where it stands.

Commands stand in blocks of code, inline, in the docstrings of modules and commands, and in comments
of configurations. What is in a block is whole; inline, what is required may be left out.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md"),
         *ROOT.glob("benchmarks/*.md")]  # fmt: skip
_ROOMS = ("stream", "models", "topics", "benchmarks", "deploy", "docs", "examples", "tests/fuzz")
SOURCES = [
    *(path for room in _ROOMS for path in ROOT.glob(f"{room}/**/*.py")),
    *(path for path in ROOT.glob("tests/system/**/*.py") if not path.name.startswith("test_")),
]
CONFIGURATIONS = [*ROOT.glob("deploy/**/*.conf"), *ROOT.glob("deploy/**/*.vcl"),
                  ROOT / "docker-compose.yml", ROOT / "deploy" / "Dockerfile"]  # fmt: skip
PROGRAMS = (
    "tidecast", "make", "python", "python3", "pip", "curl", "kcat", "docker", "kubectl", "kind",
    "nginx", "varnishd",
)  # fmt: skip
_PROGRAM = "|".join(PROGRAMS)
_BEGIN = rf"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?:{_PROGRAM})(?=\s|$)"
_SHELL_WORDS = {"for", "do", "done", "{", "}", "if", "then", "fi"}


class Command(NamedTuple):
    """A command with its arguments.

    Attributes:
        page: the file it stands in.
        words: without what is set in the environment before it.
        whole: whether it is to be run as it stands.
    """

    page: Path
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {shlex.join(self.words)}"


def commands() -> list[Command]:
    """All of them, each once a page."""
    found = [
        *(command for page in PAGES for command in _of_page(page)),
        *(command for source in SOURCES for command in _of_source(source)),
        *(command for path in CONFIGURATIONS for command in _of_comments(path)),
    ]
    return list(dict.fromkeys(found))


def _of_page(page: Path) -> Iterator[Command]:
    text = page.read_text()
    for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.M | re.S):
        # What a program reads from the lines below it is not the shell's.
        block = re.sub(r"(<<'?(\w+)'?.*?\n).*?^\2$", r"\1", block, flags=re.M | re.S)
        begun = ""  # of a line that ends within quotes
        for line in block.replace("\\\n", " ").splitlines():
            begun = f"{begun}\n{line}" if begun else line.removeprefix("$ ")
            if closed(begun):
                yield from _of_line(page, begun, whole=True)
                begun = ""
    for inline in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        if re.match(_BEGIN, inline):
            yield from _of_line(page, " ".join(inline.split()), whole=False)


def _of_source(path: Path) -> Iterator[Command]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        text = (ast.get_docstring(node) or "").replace("\\\n", " ")
        for line in re.findall(rf"^ *({_BEGIN}.*)", text, re.M):
            yield from _of_noted(path, line)
        for inline in re.findall(r"`([^`]+)`", text):
            if re.match(_BEGIN + " ", inline):
                yield from _of_line(path, " ".join(inline.split()), whole=False)


def _of_comments(path: Path) -> Iterator[Command]:
    text = re.sub(r"\\\n\s*#", " ", path.read_text())
    for line in re.findall(rf"^\s*#\s+({_BEGIN} .*)", text, re.M):
        yield from _of_noted(path, line)


def _of_noted(path: Path, line: str) -> Iterator[Command]:
    """The commands of a line of prose, beside which a note may stand, some spaces away."""
    if not re.search(r"\w`?\.$", line):  # a sentence that begins like a command
        yield from _of_line(path, re.split(r" {3,}", line)[0], whole=False)


def closed(line: str) -> bool:
    """Whether every quote in it is closed."""
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def _of_line(page: Path, line: str, whole: bool) -> Iterator[Command]:
    """The commands of a line, those after `|`, `&&` or `;` too."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= set("|&;"):
            words.append(word)
            continue
        while words and (words[0] in _SHELL_WORDS or re.match(r"[A-Z_]+=", words[0])):
            words.pop(0)
        cut = next((at for at, word in enumerate(words) if set(word) <= set("<>")), len(words))
        words = words[:cut]
        if words and Path(words[0]).name in PROGRAMS:
            yield Command(page, (Path(words[0]).name, *words[1:]), whole)
        words = []
