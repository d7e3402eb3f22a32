"""What `tidecast evaluate cascades` says: what is tested on, each model as it comes, the table.

NothingToTestError(TidecastError, ValueError)    a file that no model can be tested on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from topics.errors import TidecastError

if TYPE_CHECKING:
    from models.cascades.recordings import Recording
    from models.cascades.windows import Window
    from models.data.datasets import Cascade
    from models.files import DataSet
    from models.judging.candidates import Candidate
    from models.judging.comparison import Comparison, Result

console = Console(stderr=True, soft_wrap=True, highlight=False)


class NothingToTestError(TidecastError, ValueError):
    """No cascade of the file can be tested on in the windows asked for."""


def names(data: Sequence[DataSet]) -> list[str]:
    """Files of data sets, each once."""
    return list(dict.fromkeys(one.file for one in data))


def announce(
    tested: Recording, part: bool, cascades: int, split: str, learnt_from: list[str]
) -> None:
    """Says what is tested on, and what models have learnt from."""
    told = f"{cascades} of {tested.data.cascades} cascades of {tested.data.file}"
    trained_on = ", ".join(learnt_from)
    if part:
        which = "drawn at random" if split == "random" else "the latest"
        console.print(f"tested on {told}, {which}: the models learn from the rest ({trained_on})")
    else:
        console.print(f"tested on all {told}: the models learn from others ({trained_on})")
    if split == "random":
        console.print(
            "a random split leaks: models learn from cascades that came after those they are "
            "tested on; use it only beside published figures that were made so",
            style="yellow",
        )


def check_sizes(compared: Comparison, tested: Recording, cascades: Sequence[Cascade]) -> None:
    """Warns of windows with few cascades.

    Raises:
        NothingToTestError: no window has any.
    """
    from models.cascades.windows import MIN_EVENTS
    from models.data.datasets import count_at
    from models.judging.evaluation import MIN_CASCADES

    empty = []
    for window, chosen in compared.chosen.items():
        if not chosen:
            enough = sum(count_at(one, window.observed) >= MIN_EVENTS for one in cascades)
            inside = sum(one.published_at + window.horizon <= tested.end for one in cascades)
            empty.append(
                f"{window}: {enough} of them have {MIN_EVENTS} events when they are observed, and "
                f"for {inside} the horizon lies inside the recording"
            )
        elif len(chosen) < MIN_CASCADES:
            console.print(
                f"only {len(chosen)} cascades can be tested on in {window}: figures of fewer than "
                f"{MIN_CASCADES} say little",
                style="yellow",
            )
    if len(empty) == len(compared.chosen):
        first = min(one.published_at for one in cascades) if cascades else tested.end
        raise NothingToTestError(
            f"{tested.data.file}: none of {len(cascades)} cascades can be tested on. "
            + "; ".join(empty)
            + f". From the first of them to the end of the recording it is "
            f"{(tested.end - first) / 3_600:.1f} h; choose an earlier --horizon, a later "
            "--observe, or a longer recording"
        )
    for line in empty:
        console.print(f"nothing to test on in {line}", style="yellow")


def line(candidate: Candidate, errors: Mapping[Window, float]) -> str:
    """One model and its errors, as it comes."""
    seed = "" if candidate.seed is None else f", seed {candidate.seed}"
    took = "" if candidate.seconds is None else f" trained in {candidate.seconds:.1f} s;"
    found = ", ".join(f"{error:.3f} in {window}" for window, error in errors.items())
    return f"{candidate.name}{seed}:{took} MSLE {found}"


def write(path: Path, told: dict[str, Any], results: Sequence[Result]) -> None:
    """Writes the results as JSON."""
    import msgspec

    path.parent.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.encode(told | {"results": results})
    path.write_bytes(msgspec.json.format(content, indent=2) + b"\n")


def table(results: Sequence[Result]) -> Table:
    """All results side by side."""
    table = Table(box=None)
    for column in ("observe", "horizon", "model"):
        table.add_column(column)
    for column in ("n", "MSLE", "±", "95 %", "MAPE", "coverage", "pinball", "train s", "ask s"):
        table.add_column(column, justify="right")
    window = None
    for one in results:
        new = (one.observe, one.horizon) != window
        window = (one.observe, one.horizon)
        hours = [f"{seconds / 3_600:g} h" if new else "" for seconds in window]
        table.add_row(
            *hours,
            one.model,
            str(one.n),
            f"{one.msle:.3f}",
            f"{one.msle_sd:.3f}" if len(one.seeds) > 1 else "",
            f"{one.msle_interval[0]:.2f}-{one.msle_interval[1]:.2f}",
            f"{one.mape:.3f}",
            f"{one.coverage_90:.3f}",
            f"{one.pinball:.3f}",
            "" if one.seconds is None else f"{one.seconds:.1f}",
            f"{one.forecast_seconds:.2f}",
        )
    return table
