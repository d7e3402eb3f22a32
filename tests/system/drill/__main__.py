"""Causes every alert of deploy/prometheus/alerts.yml, for real, and makes it quiet again.

    make drill                                         all of them, some 20 minutes
    make drill ARGS="--only TidecastRoleDown"          some; names are separated by commas
    make drill ARGS="--list"                           what causes each, and what helps

Real roles work on simulated traffic and a real broker (the embedded one), and a real Prometheus
scrapes them with the deployed jobs and evaluates the deployed rules. A case breaks something,
waits until Prometheus says that the alert fires, does what the alert's page in docs/runbooks says,
and waits until it is quiet. Cases that do not disturb each other run side by side.

Time in the rules, and in the settings that tell the same time, is divided by --scale: five minutes
of trouble take half of one. tests/system/drill/rules.py says what is divided; nothing else is.

Exit code 1 if an alert did not fire, or did not go quiet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.system.drill.cases import CASES, SETTINGS, Case
from tests.system.drill.models import write_good
from tests.system.drill.rules import alerts
from tests.system.drill.site import DrillError, opened
from tests.system.drill.watch import Result, drill

console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 150)


def chosen(names: list[str]) -> list[Case]:
    """The cases of these alerts; all where none is named.

    Raises:
        DrillError: there is no such alert.
    """
    known = {name for case in CASES for name in case.alerts}
    unknown = sorted(set(names) - known)
    if unknown:
        raise DrillError(f"got {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return [case for case in CASES if not names or set(names) & set(case.alerts)]


async def run(cases: list[Case], scale: float, folder: Path) -> list[Result]:
    """Drills these cases on a site of their own that has the roles that they need."""
    names = list(dict.fromkeys(name for case in cases for name in case.needs))
    console.print(f"starting {', '.join(names)}, a broker and Prometheus in {folder}")
    write_good(folder / "registry")
    settings = SETTINGS.having(registry=str(folder / "registry"))
    async with opened(settings, folder, scale, names) as site:
        console.print(f"Prometheus: {site.prometheus}")
        traffic = any(case.traffic for case in cases)
        async with site.traffic.usual() if traffic else nullcontext():
            return await drill(site, cases, console.print)


def show(results: list[Result]) -> None:
    """What became of each alert, as a table."""
    table = Table()
    table.add_column("alert", no_wrap=True)
    for column in ("cause", "pending", "firing", "remedy", "quiet", ""):
        table.add_column(column)
    for result in results:
        times = (result.pending, result.firing, result.quiet)
        pending, firing, quiet = ("" if t is None else f"{t:.0f} s" for t in times)
        verdict = "[green]ok[/]" if result.is_well else f"[red]{result.trouble}[/]"
        table.add_row(
            result.alert, result.cause, pending, firing, result.remedy, quiet, verdict
        )  # fmt: skip
    console.print(table)
    well = sum(result.is_well for result in results)
    console.print(f"{well} of {len(results)} alerts fired and went quiet")


def list_cases() -> None:
    """What is done for each alert."""
    table = Table()
    table.add_column("alert", no_wrap=True)
    for column in ("page", "cause", "remedy"):
        table.add_column(column)
    rules = alerts()
    for case in CASES:
        for name in case.alerts:
            page = rules[name]["annotations"]["runbook_url"]
            table.add_row(name, page.removeprefix("docs/runbooks/"), case.cause, case.remedy)
    console.print(table)


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="make drill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names of alerts, separated by commas")
    parser.add_argument("--list", action="store_true", help="say what would be done, and end")
    parser.add_argument("--scale", type=float, default=10.0, help="of time; default: 10")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--keep", type=Path, help="folder that keeps logs and Prometheus' data")
    return parser.parse_args()


def main() -> None:
    """One drill."""
    options = parsed()
    if options.list:
        list_cases()
        return
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the broker is away on purpose
    folder = options.keep or Path(tempfile.mkdtemp(prefix="tidecast-drill-"))
    try:
        cases = chosen([name for name in options.only.split(",") if name])
        results = asyncio.run(run(cases, options.scale, folder))
    except DrillError as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(1)
    show(results)
    if options.json is not None:
        told: list[dict[str, Any]] = [result.told() for result in results]
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    well = all(result.is_well for result in results)
    if well and options.keep is None:
        shutil.rmtree(folder)
    else:
        console.print(f"logs are in {folder}")
    sys.exit(not well)


if __name__ == "__main__":
    main()
