"""`tidecast evaluate caching`: policies side by side on a recorded trace, as figures and a picture.

What is compared and how lies in `models.judging.caching` and `models.judging.cache_policies`; here
are the options and what is shown.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from stream.commands import checks
from stream.commands.models.options import JsonOption, PlotOption, RegistryOption, SeedOption
from stream.commands.models.report import Bars
from stream.settings import Duration

if TYPE_CHECKING:
    from models.judging.caching import CacheComparison, CacheResult
    from models.judging.ranking import RankerResult

console = Console(stderr=True, soft_wrap=True, highlight=False)


def evaluate_caching(
    trace: Annotated[
        Path,
        typer.Argument(
            help="Recorded requests: CSV in order of time with the header "
            "timestamp,object_id[,client_id][,size] (plain, .gz, .bz2 or .xz)."
        ),
    ],
    sizes: Annotated[
        str,
        typer.Option(
            help="Sizes of the caches, joined by commas. Below 1: shares of the distinct objects "
            "of the whole trace, or of their bytes where objects have sizes. From 1 on: objects, "
            "or bytes."
        ),
    ] = "0.01,0.05,0.1",
    policies: Annotated[
        str | None,
        typer.Option(
            help="Names joined by commas, such as lru,sieve,decayed,belady. Default: all that "
            "can run here."
        ),
    ] = None,
    warmup: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the requests that warm the caches up and count no hits. Policies that "
            "learn do so from this part alone. 0 measures the whole trace.",
        ),
    ] = 0.5,
    object_sizes: Annotated[
        Literal["unit", "trace", "lognormal"] | None,
        typer.Option(
            help="What objects weigh. unit: all alike. trace: the bytes of the column `size`. "
            "lognormal: bytes drawn by a hash of the object's identifier. Default: trace where "
            "the file has the column, else unit."
        ),
    ] = None,
    objective: Annotated[
        Literal["hits", "bytes", "cost"],
        typer.Option(
            help="What policies that can choose (lrb, decayed, belady) are to answer from the "
            "cache: most requests, most bytes, or what costs the origin most. It matters where "
            "objects have sizes."
        ),
    ] = "hits",
    fetch_cost: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="What a fetch from the origin costs beside its bytes, in the cost of a byte: the "
            "cost of an object is this plus its bytes. Default: the mean of the objects' bytes.",
        ),
    ] = None,
    window: Annotated[
        Duration | None,
        typer.Option(
            parser=Duration.parse,
            metavar="DURATION",
            help="Length of the windows by which rankers are stepped and measured, such as 1h. "
            "Default: the shortest of 1m, 5m, 15m, 30m, 1h, 2h, 6h, 12h, 1d and 7d that has "
            "250 requests on average.",
        ),
    ] = None,
    top: Annotated[
        str, typer.Option(help="K of MAP@K and NDCG@K of the rankers, joined by commas.")
    ] = "10,100",
    seeds: Annotated[
        int, typer.Option(min=1, help="Trainings of each policy that learns; mean and deviation.")
    ] = 1,
    seed: SeedOption = 0,
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained",
            help="Train nothing: policies that learn take the newest versions of the registry.",
        ),
    ] = False,
    registry: RegistryOption = None,
    json_file: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Replays a trace of requests through caches and says what each policy serves from memory.

    The second half is measured; the first fills the caches and is what policies learn from:

        tidecast evaluate caching trace.csv.xz --sizes 0.01,0.05,0.1 --json runs/trace.json

    Policies: lru; lfu, s3fifo, sieve, wtinylfu and lrb from libcachesim, which the extra `bench`
    brings (`pip install 'tidecast[bench]'`); decayed, the self-tuning decayed count; cachemamba,
    which corrects it and which edges are served by, and transformer beside it: both learn from the
    first part, or come from the registry with `--pretrained`; belady, which knows what is to come
    and which nothing can beat. All others decide by what came before.

    The figures: hit ratio, byte hit ratio and cost hit ratio (the share of the origin's cost that
    is saved) of the test part, their standard deviation over seeds where policies learn, seconds
    of one replay; and of the rankers behind the policies, and of two plain ones, MAP@K and NDCG@K
    window by window.

    Bytes: `--object-sizes lognormal` draws sizes where a trace has none. Then capacities are bytes,
    and `--objective` says whether requests, bytes or costly fetches are to be answered.
    """
    chosen_sizes = _numbers(sizes, "--sizes", float)
    ks = _numbers(top, "--top", int)
    names = None if policies is None else [name.strip() for name in policies.split(",")]
    if registry is not None and not pretrained:
        raise typer.BadParameter("--registry is where --pretrained takes models from: add that")
    if not warmup < 1:
        raise typer.BadParameter(f"got --warmup {warmup:g}; expected a share below 1")
    if window is not None and window <= 0:
        raise typer.BadParameter("got --window 0; expected a duration above 0")
    if fetch_cost is not None and not math.isfinite(fetch_cost):
        raise typer.BadParameter(f"got --fetch-cost {fetch_cost:g}; expected a finite number")
    checks.readable(trace)
    picture = checks.picture_of(json_file, plot)

    from models.caches.workload import workload
    from models.data.requests import read_requests
    from models.judging import cache_policies, ranking
    from models.judging.cache_policies import TrainedPolicy
    from models.judging.caching import CacheComparison

    left_out: dict[str, str] = {}
    chosen = cache_policies.named(
        names,
        skipped=lambda name, error: left_out.update({name: str(error)}),
        load=(lambda policy: policy.load(registry)) if pretrained else None,
    )
    learning = [policy.name for policy in chosen if isinstance(policy, TrainedPolicy)]
    if learning and not warmup:
        reason = (
            "It learns from the warm-up part, and --warmup is 0: give a share above 0, or "
            "--pretrained"
        )
        if names is not None:
            raise typer.BadParameter(f"--policies {', '.join(learning)}: {reason}")
        left_out |= dict.fromkeys(learning, reason)
        chosen = [policy for policy in chosen if policy.name not in left_out]
    with console.status(f"reading {trace.name}"):
        read = read_requests(trace)
        length = None if window is None else float(window)
        work = workload(read, object_sizes, objective, length, fetch_cost)
    weighed = object_sizes or ("unit" if read.sizes is None else "trace")
    guessed = 0
    if weighed == "trace" and read.sizes is not None:
        guessed = int((read.sizes == 0).sum())
    told = {
        "file": trace.name,
        "requests": len(work),
        "objects": len(work.object_ids),
        "without_size": guessed,
        "unit": work.unit,
        "object_sizes": weighed,
        "objective": objective,
        "fetch_cost": work.fetch_cost,
        "warmup": warmup,
        "window": work.window,
        "left_out": left_out,
    }
    _announce(told, int(warmup * len(work)))
    if pretrained:
        _warn_of_overlap(trace, warmup, [policy.name for policy in chosen], registry)
    with Bars(console) as report:
        compared = CacheComparison(
            work, chosen_sizes, warmup, range(seed, seed + seeds), ks, report
        )
        for policy in chosen:
            console.print(_line(policy.title, compared.add(policy)))
            if json_file:
                _write(json_file, told, compared)
        for name, make in ranking.BASELINES.items():
            compared.rank(name, [make])
    for reason in compared.skipped:
        console.print(f"skipped: {reason}", style="yellow", markup=False)
    output = Console(width=None if sys.stdout.isatty() else 110)
    titles = {policy.name: policy.title for policy in chosen}
    ratios = {"hit_ratio": "hit"}
    if work.unit == "bytes":
        ratios["byte_hit_ratio"] = "bytes hit"
        if objective == "cost":
            ratios["cost_hit_ratio"] = "cost hit"
    output.print(_cache_table(compared.results, ratios))
    if compared.rankers:
        output.print(_ranker_table(compared.rankers))
    else:
        console.print(
            "the test part begins no window, so rankers cannot be measured; choose a shorter "
            "--window",
            style="yellow",
        )
    if json_file:
        _write(json_file, told, compared)
        console.print(f"figures written to {json_file}")
    if picture:
        from models.judging.caching_plot import draw

        title = f"{trace.name}, {'whole' if not compared.test else f'after {warmup:.0%}'}"
        draw(picture, title, compared.results, titles, ratios)
        console.print(f"picture written to {picture}")


# ------------------------------------------------------------------ what is asked for, and shown


def _numbers(text: str, option: str, kind: type[Any]) -> list[Any]:
    """The numbers of a list, ascending, each once."""
    try:
        numbers = sorted({kind(word) for word in text.split(",")})
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}; expected numbers joined by commas") from error
    if not numbers[0] > 0 or not numbers[-1] < float("inf"):
        raise typer.BadParameter(f"{option}: got {text}; expected numbers above 0")
    return numbers


def _warn_of_overlap(
    trace: Path, warmup: float, names: Sequence[str], registry: Path | None
) -> None:
    """Says which models have learnt from requests of this file that are now tested on."""
    from models import registry as models
    from models.files import digest

    traced = digest(trace)
    for name in set(names) & set(models.list_names(registry)):
        card = models.read_card(name, root=registry)
        learnt = card.training.get("first", 1.0)
        if learnt > warmup and any(data.digest == traced for data in card.data):
            console.print(
                f"{name} {card.version} has learnt from the first {learnt:.0%} of this file, and "
                f"is tested on all but the first {warmup:.0%}: give --warmup {learnt:g}",
                style="yellow",
            )


def _announce(told: dict[str, Any], test: int) -> None:
    requests, objects = told["requests"], told["objects"]
    console.print(
        f"{told['file']}: {requests:,} requests for {objects:,} objects; the first {test:,} warm "
        f"the caches up, hits are counted in the other {requests - test:,}"
    )
    if told["object_sizes"] == "lognormal":
        from models.caches.workload import MEDIAN_BYTES, SIGMA

        console.print(
            f"object sizes are drawn by a hash of the identifier: log-normal, median "
            f"{MEDIAN_BYTES:,} bytes, sigma {SIGMA:g}"
        )
    if told["without_size"]:
        console.print(
            f"of {told['without_size']:,} objects no request states a size: they are taken to have "
            "the median of the others",
            style="yellow",
        )
    reasons: dict[str, list[str]] = {}
    for name, reason in told["left_out"].items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        console.print(f"left out: {', '.join(names)}. {reason}", style="yellow", markup=False)


def _line(title: str, results: Sequence[CacheResult]) -> str:
    if not results:
        return f"{title}: no cache is large enough"
    ratios = ", ".join(f"{one.hit_ratio:.3f} at {one.size:g}" for one in results)
    seconds = sum(one.seconds for one in results)
    learnt = results[0].train_seconds
    trained = "" if learnt is None else f" trained in {learnt:.1f} s;"
    return f"{title}:{trained} hit ratio {ratios}; {seconds:.1f} s"


def _write(path: Path, told: dict[str, Any], compared: CacheComparison) -> None:
    import msgspec

    path.parent.mkdir(parents=True, exist_ok=True)
    content = told | {
        "skipped": compared.skipped,
        "results": compared.results,
        "rankers": compared.rankers,
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def _cache_table(results: Sequence[CacheResult], ratios: Mapping[str, str]) -> Table:
    """A row a policy; a column a size, for each of the ratios, which are given with their title."""
    table = Table(box=None)
    table.add_column("policy")
    sizes = list(dict.fromkeys(one.size for one in results))
    for title in ratios.values():
        for size in sizes:
            words = f"{100 * size:g} %" if size < 1 else f"{size:,.0f}"
            table.add_column(f"{title}, {words}", justify="right")
    learnt = any(one.train_seconds is not None for one in results)
    if learnt:
        table.add_column("train s", justify="right")
    table.add_column("s", justify="right")
    for name in dict.fromkeys(one.policy for one in results):
        own = [one for one in results if one.policy == name]
        cells = [_cell(own, key, size) for key in ratios for size in sizes]
        if learnt:
            seconds = own[0].train_seconds
            cells.append("" if seconds is None else f"{seconds:.1f}")
        table.add_row(name, *cells, f"{sum(one.seconds for one in own):.1f}")
    return table


def _cell(results: Sequence[CacheResult], key: str, size: float) -> str:
    for one in results:
        if one.size == size:
            return _spread(getattr(one, key), getattr(one, f"{key}_sd"))
    return ""


def _ranker_table(results: Sequence[RankerResult]) -> Table:
    table = Table(box=None)
    table.add_column("ranker")
    for column in ("K", "MAP@K", "NDCG@K", "windows", "s"):
        table.add_column(column, justify="right")
    for one in results:
        table.add_row(
            one.ranker,
            str(one.k),
            _spread(one.map, one.map_sd),
            _spread(one.ndcg, one.ndcg_sd),
            str(one.windows),
            f"{one.seconds:.1f}",
        )
    return table


def _spread(mean: float, deviation: float) -> str:
    return f"{mean:.3f} ± {deviation:.3f}" if deviation else f"{mean:.3f}"
