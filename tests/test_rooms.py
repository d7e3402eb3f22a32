"""The rooms are what their tables of contents say. Who may import whom is `lint-imports`' part.

The docstring of a room's `__init__.py` says what the room is for; then, under `Modules:`, it has
one line for each module and each room in it, and `__all__` has the same names.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("topics", "models", "stream")
ROOMS = sorted(
    str(file.parent.relative_to(ROOT))
    for package in PACKAGES
    for file in (ROOT / package).rglob("__init__.py")
)
# The room that hands out what is in it, for everybody needs the one object and nobody a part of it.
HANDS_OUT = "stream/settings"
# What a room does when it is imported, beyond saying what is in it.
AT_IMPORT = {
    "models": ["from models.kernels import kernel_cache", "kernel_cache.settle()"],
    "stream": ["import models as models"],
}


def table_of(docstring: str) -> list[str]:
    """The names in a table of contents, in the order of the table."""
    _, table = docstring.split("\nModules:\n")
    return re.findall(r"^    (\w+): \S", table, re.MULTILINE)


def contents(room: Path) -> list[str]:
    """Names of the modules and rooms in a room."""
    modules = [file.stem for file in room.glob("*.py") if not file.stem.startswith("__")]
    return sorted(modules + [folder.parent.name for folder in room.glob("*/__init__.py")])


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_what_its_table_of_contents_says(room: str) -> None:
    module = ast.parse((ROOT / room / "__init__.py").read_text())
    docstring = ast.get_docstring(module, clean=False)
    assert docstring is not None
    [exported] = [
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert sorted(table_of(docstring)) == contents(ROOT / room)
    if room != HANDS_OUT:
        assert exported == contents(ROOT / room)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_cheap_to_enter(room: str) -> None:
    _, *body = ast.parse((ROOT / room / "__init__.py").read_text()).body
    done = [ast.unparse(node) for node in body if not isinstance(node, ast.Assign)]
    if room == HANDS_OUT:
        done = [line for line in done if not line.startswith(f"from {room.replace('/', '.')}.")]
    assert done == AT_IMPORT.get(room, [])


FOLDERS = ("topics", "models", "stream", "tests", "deploy", "benchmarks", "examples")
MOST = 16  # files that one still takes in at a glance


def test_no_folder_is_a_heap() -> None:
    files = Counter(file.parent for top in FOLDERS for file in (ROOT / top).rglob("*.py"))
    assert {
        str(folder.relative_to(ROOT)): many for folder, many in files.items() if many > MOST
    } == {}


def test_a_table_is_read_as_it_stands() -> None:
    docstring = (
        "A room.\n\n    no: line of it\n\nModules:\n    two: first\n    one_b: second: more\n"
    )
    assert table_of(docstring) == ["two", "one_b"]


@pytest.mark.parametrize("package", PACKAGES)
def test_whoever_imports_a_package_gets_its_types(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()  # package data: tests/deploy/test_package.py


PAGES = sorted(
    page
    for folder in (ROOT, ROOT / "docs")
    for page in folder.glob("*.md" if folder == ROOT else "**/*.md")
    if page.name != "CHANGELOG.md"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_files_that_there_are(page: Path) -> None:
    named = re.findall(r"(?<![\w/])((?:topics|models|stream|tests)/[\w/]+\.py)", page.read_text())
    # Promises name their tests from tests/ on.
    assert [
        path
        for path in named
        if "NAME" not in path and not any((at / path).exists() for at in (ROOT, ROOT / "tests"))
    ] == []
