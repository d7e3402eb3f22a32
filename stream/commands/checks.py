"""What is wrong with files and folders that a command was given, found before it begins to work.

A command may work for minutes or hours before it opens its last input or writes its first figure.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import typer


def readable(*files: Path) -> None:
    """Refuses what is not there, or cannot be opened, and one that is named twice."""
    for place, file in enumerate(files):
        if not file.exists():
            raise typer.BadParameter(f"{file}: no such file")
        if file.is_dir():
            raise typer.BadParameter(f"{file} is a folder; expected a file")
        if file.is_fifo():
            continue  # opening it would take it from whoever reads it then
        try:
            file.open("rb").close()
        except OSError as error:
            raise typer.BadParameter(f"{file} cannot be read ({error.strerror})") from error
        if file.resolve() in {other.resolve() for other in files[:place]}:
            raise typer.BadParameter(f"{file} is named twice")


def writable(option: str, file: Path | None) -> None:
    """Refuses a file that could not be written; its folder is made."""
    if file is None:
        return
    if file.is_dir():
        raise typer.BadParameter(f"{option}: {file} is a folder; expected a file")
    writable_folder(option, file.parent)
    if file.exists():
        try:
            file.open("ab").close()
        except OSError as error:
            raise typer.BadParameter(f"{option}: {file}: {error.strerror}") from error


def writable_folder(option: str, folder: Path | None) -> None:
    """Refuses a folder in which nothing could be written; it is made."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise typer.BadParameter(
            f"{option}: nothing can be written in {folder} ({error.strerror})"
        ) from error


def picture_of(json_file: Path | None, plot: Path | None) -> Path | None:
    """Where the picture goes, by default beside the figures; refuses to lay one over the other."""
    writable("--json", json_file)
    writable("--plot", plot)
    picture = plot or (json_file and json_file.with_suffix(".png"))
    if picture is not None and picture == json_file:
        raise typer.BadParameter(
            f"figures and picture would both be written to {picture}; give --json another name"
        )
    return picture


def new_version(output: Path, names: Sequence[str], version: str) -> None:
    """Refuses a version that cannot be written: no version, or one that is there already."""
    from models import registry

    if not registry.is_version(version):
        raise typer.BadParameter(
            f"--version: got {version!r}; expected whole numbers joined by dots, such as 2 or 2.1"
        )
    for name in names:
        held = registry.list_versions(name, output)
        if version in held:
            raise typer.BadParameter(
                f"--version: {output / name / version} is there already, and a version never "
                f"changes; there are {', '.join(held)}. Choose another"
            )
    writable_folder("--output", output)
