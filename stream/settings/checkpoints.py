"""Where state is kept beyond a worker's life, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration


@dataclass(frozen=True)
class Checkpoints(Domain):
    """The store of checkpoints."""

    heading: ClassVar[str] = "Checkpoints"

    data_dir: Path = setting(Path("runs/data"), "for what a role keeps on disk")
    checkpoint_url: str = setting(
        "", "where state is kept: a folder, or s3://bucket/path and the like; empty: in data_dir"
    )
    checkpoint_interval: Duration = setting(
        Duration(60), "between two checkpoints of a partition; 0: none, state comes from the topic"
    )
    checkpoint_max_age: Duration = setting(
        Duration(600),
        "a checkpoint older than this is an error in the log, and alerted of",
        positive=True,
    )
