"""Bars on the terminal for a training that reports (`models.recipes.Report`)."""

from __future__ import annotations

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
    """A `Report` that draws a bar for each stage: steps, time left, and the latest loss.

        with Bars(console) as report:
            report("epochs", 3, 100, loss=1.25)

    Attributes:
        title: what is being worked on, written before each stage.
    """

    def __init__(self, console: Console, title: str = "") -> None:
        self.title = title
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
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
        described = f"{self.title} {stage}".strip()
        if described != self._stage:
            self._close()
            self._stage = described
            self._task = self._progress.add_task(described, total=total, loss="")
        changes: dict[str, Any] = {} if loss is None else {"loss": f"loss {loss:.4f}"}
        self._progress.update(self._task, completed=done, total=total, **changes)

    def _close(self) -> None:
        """The bar of a stage that ended early is full: what it has done is all there was to do."""
        if self._stage is not None:
            [task] = [task for task in self._progress.tasks if task.id == self._task]
            self._progress.update(self._task, total=task.completed)
