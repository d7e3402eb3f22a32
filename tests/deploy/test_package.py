"""What an installed tidecast has: the files that its modules read travel with them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_files_beside_the_code_are_package_data() -> None:
    declared = PROJECT["tool"]["setuptools"]["package-data"]
    for package in ("topics", "models", "stream"):
        files = {
            file
            for file in (ROOT / package).rglob("*")
            if file.is_file() and file.suffix != ".py" and "__pycache__" not in file.parts
        }
        shipped = {
            file for glob in declared.get(package, ()) for file in (ROOT / package).glob(glob)
        }
        assert files <= shipped


def test_nothing_is_read_that_could_run_code() -> None:
    """Models and state are data: formats that hold objects run whatever was put into them."""
    unsafe = re.compile(
        r"\b(c?pickle|cloudpickle|dill|joblib|marshal|shelve)\b|torch\.(load|save)\b|allow_pickle"
    )
    for package in ("topics", "models", "stream"):
        for file in (ROOT / package).rglob("*.py"):
            assert not unsafe.search(file.read_text()), file


def test_every_folder_of_code_is_a_package() -> None:
    for package in ("topics", "models", "stream"):
        for file in (ROOT / package).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), file
