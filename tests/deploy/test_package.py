"""What an installed tidecast has: the files that its modules read travel with them."""

from __future__ import annotations

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


def test_every_folder_of_code_is_a_package() -> None:
    for package in ("topics", "models", "stream"):
        for file in (ROOT / package).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), file
