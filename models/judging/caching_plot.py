"""A picture of a comparison of caches: hit ratio against size, and what is left up to Belady.

The shaded area lies between Belady, which knows what will be requested, and the best of the
policies that do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from models.judging.caching import CacheResult

_MARKERS = "osv^D<>PXh"


def draw(
    path: Path,
    title: str,
    results: Sequence[CacheResult],
    titles: Mapping[str, str],
    ratios: Mapping[str, str],
) -> None:
    """Writes the picture as a PNG.

    Args:
        path: of the file.
        title: over the picture.
        results: of one trace.
        titles: of the policies, by name.
        ratios: a panel each: fields of the results, with their titles.
    """
    panels = list(ratios.items())
    figure = Figure(figsize=(5.6 * len(panels) + 1.6, 4.4), layout="constrained")
    figure.suptitle(title)
    for number, (key, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        _panel(axes, results, key, titles)
        axes.set_ylabel(f"{label} ratio")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=110)


def _panel(axes: Any, results: Sequence[CacheResult], key: str, titles: Mapping[str, str]) -> None:
    names = list(dict.fromkeys(one.policy for one in results))
    belady: dict[float, float] = {}
    for number, name in enumerate(names):
        own = sorted((one for one in results if one.policy == name), key=lambda one: one.size)
        sizes = [one.size for one in own]
        ratios = [getattr(one, key) for one in own]
        style: dict[str, Any] = {"linewidth": 1.2, "markersize": 4, "capsize": 2}
        if name == "belady":
            style |= {"color": "black", "linestyle": "--"}
            belady = dict(zip(sizes, ratios, strict=True))
        axes.errorbar(
            sizes, ratios, yerr=[getattr(one, f"{key}_sd") for one in own],
            marker=_MARKERS[number % len(_MARKERS)], label=titles.get(name, name), **style,
        )  # fmt: skip
    best: dict[float, float] = {}
    for one in results:
        if one.policy != "belady":
            best[one.size] = max(best.get(one.size, 0.0), getattr(one, key))
    shared = sorted(belady.keys() & best.keys())
    if shared:
        axes.fill_between(
            shared,
            [best[size] for size in shared],
            [belady[size] for size in shared],
            color="0.85",
            linewidth=0,
            label="gap to Belady",
        )
    axes.set_xscale("log")
    ticks = sorted({one.size for one in results})
    axes.set_xticks(
        ticks, [f"{tick:.4g}" if tick >= 1 else f"{100 * tick:.4g} %" for tick in ticks]
    )
    axes.minorticks_off()
    axes.set_ylim(0, None)
    axes.grid(alpha=0.3)
    axes.set_xlabel("size of the cache")
