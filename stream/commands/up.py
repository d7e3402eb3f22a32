"""`tidecast up`: from its options to a run, and from the run to its summary."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
import typer
from rich.console import Console

from stream.commands import checks
from stream.commands.traffic import hold_of
from stream.local.up import Plan, Run, Traffic, UpError
from stream.settings import Duration, Settings
from stream.sources.replay import CascadeReplay, RequestReplay
from stream.sources.simulate import Simulation
from topics.catalogue import READS

# The simulated world of a demonstration: a window of five minutes passes in five seconds, and
# the live cascades of two days, once they are all there, fit into a few hundred megabytes.
SIMULATED_SPEED = 60.0
SIMULATED_CASCADES = 0.25  # a second of event time
SIMULATED_REQUESTS = 50.0
_RUN_TIME = "%Y%m%d-%H%M%S"
_CLEAN = (0, -signal.SIGTERM)  # the latter: told to end before it had begun


def run_up(
    settings: Settings,
    *,
    cascades: Sequence[Path],
    requests: Path | None,
    kafka: str | None,
    speed: float | None,
    seconds: float | None,
    json_file: Path | None,
    edges: int,
    rebase: float | None,
    seed: int,
    logs: Path,
    force: bool,
    hold: Duration | None,
    step: Duration | None,
    stay: bool,
) -> None:
    """Runs everything, prints the summary, and exits with 1 when something is wrong with it.

    Raises:
        UpError: the folder of its logs cannot be made, or what `Run.go` raises.
    """
    console = Console(stderr=True, highlight=False)
    if rebase is not None and not cascades:
        raise typer.BadParameter("--rebase lays cascades onto a window: give --cascades too")
    held = hold_of(hold, step)
    checks.readable(*cascades)
    checks.readable(*([] if requests is None else [requests]))
    checks.writable("--json", json_file)
    folder = logs / time.strftime(_RUN_TIME)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UpError(
            f"the run's folder {folder} cannot be made ({error.strerror}); name another with --logs"
        ) from error
    from_files = bool(cascades) or requests is not None

    def traffic() -> list[Traffic]:
        if not from_files:
            simulation = Simulation(
                seed=seed,
                edges=edges,
                cascades_per_second=SIMULATED_CASCADES,
                requests_per_second=SIMULATED_REQUESTS,
            )
            return [Traffic(simulation, tuple(READS))]
        found = []
        if cascades:
            replay = CascadeReplay(cascades, window=rebase)
            found.append(Traffic(replay, ("tracker", "forecaster", "scorer")))
        if requests is not None:
            found.append(Traffic(RequestReplay(requests, edges=edges), ("historian", "ranker")))
        return found

    speed = speed if from_files else speed or SIMULATED_SPEED
    plan = Plan(traffic, kafka, speed, seconds, folder, force, held, stay, from_files)
    run = Run(plan, settings, console)
    summary = asyncio.run(run.go())
    encoded = orjson.dumps(summary, option=orjson.OPT_INDENT_2)
    if json_file is not None:
        json_file.write_bytes(encoded + b"\n")
    typer.echo(encoded.decode())
    console.print(f"logs of the run: {folder}")
    failed = [role for role, code in summary["roles"].items() if code not in _CLEAN]
    if failed or not (summary["drained"] or run.is_hurried):
        what = f"{', '.join(failed)} did not end cleanly" if failed else "not all was worked off"
        console.print(f"{what}; see the logs in {folder}", style="red")
        raise typer.Exit(1)
