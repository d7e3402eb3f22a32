"""The application of the model roles, before it has a broker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.settings import Settings, SettingsError
from stream.workers.agents import Application


def test_a_folder_that_cannot_be_written_to_is_named_by_its_setting(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match=rf"data_dir: {file}/scorer-0 .*Not a directory"):
        Application("scorer", Settings(data_dir=file), CollectorRegistry())


async def test_who_asks_anew_while_partitions_are_on_their_way_works_on_them(
    tmp_path: Path,
) -> None:
    """The group is joined once for both, so nothing ends the tenure a second time."""
    application = Application("scorer", Settings(data_dir=tmp_path), CollectorRegistry())
    rejoined = []
    thread = SimpleNamespace(rejoin=lambda: rejoined.append(application.tenure))
    application.consumer = SimpleNamespace(_thread=thread)
    partitions = {TP("popularity.forecasts", 0)}
    application.take_on_anew()
    await application._end_tenure(None, partitions)
    application.take_on_anew()  # the brokers are away, so its logs cannot be looked at again
    await application._note_partitions(None, partitions)
    assert rejoined == [0, 1]
    assert application.works_on(application.tenure) and not application.works_on(0)
