"""What `tidecast up` refuses before it starts anything."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from stream.cli import app
from stream.local.up import UpError


def test_a_folder_that_cannot_be_written_to_is_named_by_its_option(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = CliRunner().invoke(app, ["up", "--logs", str(file)])
    assert isinstance(result.exception, UpError)
    assert "Not a directory" in str(result.exception) and "--logs" in str(result.exception)
