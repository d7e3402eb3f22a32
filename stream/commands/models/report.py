"""What a training tells: bars on the terminal, and for the card the command that was typed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bars:
    """A `Report` that draws a bar for the stage it is in: steps, time left, and the latest loss.

    with Bars(console) as report:
        report("epochs", 3, 100, loss=1.25)
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=console,
        )
        self._stage: str | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, stage: str, done: int, total: int, loss: float | None = None) -> None:
        """Moves the bar of a stage, or begins the next."""
        if stage != self._stage:
            if self._stage is not None:
                self._progress.remove_task(self._task)
            self._stage = stage
            self._task = self._progress.add_task(stage, total=total, loss="")
        changes: dict[str, Any] = {} if loss is None else {"loss": f"loss {loss:.4f}"}
        self._progress.update(self._task, completed=done, total=total, **changes)


def command_line() -> str:
    """The command line as it was typed, with files by their names and without the output."""
    words = [Path(word).name if Path(word).is_file() else word for word in sys.argv[1:]]
    words = [word for word in words if not word.startswith("--output=")]
    if "--output" in words:
        at = words.index("--output")
        del words[at : at + 2]
    return " ".join(["tidecast", *words])
