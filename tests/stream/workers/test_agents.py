"""The application of the model roles, before it has a broker."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from stream.settings import Settings, SettingsError
from stream.workers.agents import Application


def test_a_folder_that_cannot_be_written_to_is_named_by_its_setting(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match=rf"data_dir: {file}/scorer-0 .*Not a directory"):
        Application("scorer", Settings(data_dir=file), CollectorRegistry())
