"""What `tidecast up` shows in the terminal while it runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream.kafka.progress import Position
from stream.local.observer import EdgeTotals, Observed, ScoreTotals
from stream.processes.starting import Told
from stream.scorer.quality import Kind
from stream.sources.holding import Hold
from topics.records import PopularityForecast

_ROWS = 10
_LINE_SECONDS = 5.0
_STARTING_SECONDS = 2.0


@dataclass
class Status:
    """All that the display shows; `tidecast up` keeps it current."""

    phase: str = "starting"
    started: float = field(default_factory=time.monotonic)
    events_sent: int = 0
    requests_sent: int = 0
    positions: dict[str, Position] = field(default_factory=dict)
    observed: Observed = field(default_factory=Observed)
    kafka: str = ""
    page: str = ""  # address of the live page
    starting: Mapping[str, Told] = field(default_factory=dict)  # what each process is at
    hold: Hold | None = None

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    @property
    def phase_in_words(self) -> str:
        """The phase, and where in event time the sources are held if they are."""
        if self.hold is None or self.hold.held_at is None:
            return self.phase
        at = datetime.fromtimestamp(self.hold.held_at, UTC)
        return f"{self.phase}, held at {at:%Y-%m-%d %H:%M:%S} of event time ({self.hold})"

    @property
    def are_ready(self) -> bool:
        """Whether every process is at work."""
        return bool(self.starting) and all(told.ready for told in self.starting.values())


class Rates:
    """Messages a second of each role, over the last few seconds."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}
        self._rate: dict[str, float] = {}

    def update(self, positions: dict[str, Position]) -> None:
        """Takes in positions; call it about once a second."""
        now = time.monotonic()
        for role, position in positions.items():
            then, read = self._last.get(role, (now, position.read))
            if now - then >= 0.9:
                rate = (position.read - read) / (now - then)
                self._rate[role] = 0.5 * self._rate.get(role, rate) + 0.5 * rate
                self._last[role] = (now, position.read)
            elif role not in self._last:
                self._last[role] = (now, position.read)

    def __getitem__(self, role: str) -> float:
        return self._rate.get(role, 0.0)


class Lines:
    """The status as lines, for output that is not a terminal: what is new, and no long silence.

    Until the first forecast there is a line at least every `_STARTING_SECONDS`, for nobody knows
    yet whether it works.
    """

    def __init__(self, status: Status, rates: Rates) -> None:
        self._status = status
        self._rates = rates
        self._said: dict[str, str] = {}
        self._latest = status.started

    def due(self) -> list[str]:
        """Those that are to be printed now."""
        status = self._status
        clock = f"{status.seconds:6.1f}s"
        lines = []
        for name, told in status.starting.items():
            if self._said.get(name) != told.words:
                self._said[name] = told.words
                lines.append(f"{clock} {name}: {told.words}")
        silence = _LINE_SECONDS if status.observed.forecasts else _STARTING_SECONDS
        if not lines and time.monotonic() - self._latest > silence:
            waits = "; ".join(_waiting(told) for told in status.starting.values() if not told.ready)
            lines.append(f"{clock} {waits}" if waits else line(status, self._rates))
        if lines:
            self._latest = time.monotonic()
        return lines


def _waiting(told: Told) -> str:
    """What a process that starts is at, and since when."""
    return f"{told.name}: {told.words}, for {_since(told)}"


def _since(told: Told) -> str:
    """How long ago a process said what it is at."""
    return _seconds(max(0.0, time.time() - told.since))


def line(status: Status, rates: Rates) -> str:
    """The status in one line, for output that is not a terminal."""
    observed = status.observed
    p50, p99 = observed.latency(50, 99)
    roles = "  ".join(
        f"{role} {rates[role]:,.0f}/s lag {position.lag:,}"
        for role, position in status.positions.items()
    )
    return (
        f"{status.seconds:6.1f}s {status.phase_in_words}: sent {status.events_sent:,} events "
        f"{status.requests_sent:,} requests | {roles} | {observed.forecasts:,} forecasts "
        f"({_seconds(p50)} p50, {_seconds(p99)} p99)  {observed.decisions:,} decisions  "
        f"{observed.outcomes:,} outcomes  {observed.dead_letters:,} dead letters"
    )


def render(status: Status, rates: Rates) -> RenderableType:
    """The whole display."""
    observed = status.observed
    p50, p99 = observed.latency(50, 99)
    head = Text.assemble(
        ("tidecast ", "bold cyan"),
        (f"{status.phase_in_words}  ", "bold"),
        (f"{status.seconds:,.0f} s on {status.kafka}\n", "dim"),
        "live page ",
        (f"{status.page}\n", "underline"),
        f"sent {status.events_sent:,} events, {status.requests_sent:,} requests\n"
        f"got {observed.forecasts:,} forecasts, {observed.decisions:,} decisions, "
        f"{observed.outcomes:,} outcomes, ",
        (f"{observed.dead_letters:,} dead letters", "red" if observed.dead_letters else "dim"),
        f"\nevent to forecast {_seconds(p50)} median, {_seconds(p99)} for 99 %",
    )
    parts: list[RenderableType] = [head]
    if not status.are_ready:
        parts.append(_starting(status))
    if status.positions:
        parts.append(_roles(status, rates))
    if observed.cascades:
        parts.append(_cascades(observed.growing(_ROWS)))
    if observed.scored:
        parts.append(_scores(observed.scored))
    if observed.edges:
        parts.append(_edges(observed.edges))
    if observed.reasons:
        worst = sorted(observed.reasons.items(), key=lambda item: -item[1])[:3]
        told = "; ".join(f"{count:,} {error} in {topic}" for (topic, error), count in worst)
        parts.append(Text(f"dead letters: {told}", style="red"))
    return Group(*parts)


def _starting(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("starting", min_width=12)
    table.add_column("")
    table.add_column("for", justify="right")
    for told in status.starting.values():
        since = "" if told.ready else _since(told)
        table.add_row(told.name, Text(told.words, style="green" if told.ready else ""), since)
    return table


def _roles(status: Status, rates: Rates) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("role", min_width=12)
    for name in ("messages a second", "read", "lag"):
        table.add_column(name, justify="right", min_width=10)
    for role, position in status.positions.items():
        table.add_row(role, f"{rates[role]:,.0f}", f"{position.read:,}", f"{position.lag:,}")
    return table


def _cascades(growing: list[PopularityForecast]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left",
                  title="\nforecast to grow most", title_style="bold")  # fmt: skip
    table.add_column("cascade", overflow="ellipsis", max_width=40, no_wrap=True)
    for name in ("age", "now", "expected", "90 % interval", "by", "viral", "model"):
        table.add_column(name, justify="right", no_wrap=True)
    for forecast in growing:
        last = forecast.horizons[-1]
        table.add_row(
            forecast.cascade_id,
            _seconds(forecast.age),
            f"{forecast.observed_count:,}",
            f"{last.expected:,.0f}",
            f"{last.quantiles.p05:,.0f} – {last.quantiles.p95:,.0f}",
            _seconds(last.horizon),
            f"{forecast.viral_probability:.0%}",
            forecast.model + (" (degraded)" if forecast.degraded else ""),
        )
    return table


def _scores(scored: dict[Kind, ScoreTotals]) -> Table:
    """What is served first, and what is tried beside it."""
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left",
                  title="\nforecasts held against what happened", title_style="bold")  # fmt: skip
    table.add_column("model", min_width=12)
    table.add_column("")
    for name in ("scores", "squared error (log2)", "within the 90 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    order = {"served": 0, "degraded": 1, "shadow": 2}
    for kind, totals in sorted(scored.items(), key=lambda item: (order[item[0].kind], item[0])):
        table.add_row(
            f"{kind.model} {kind.version}",
            kind.kind,
            f"{totals.scores:,}",
            f"{totals.msle:.3f}",
            f"{totals.coverage:.1%}",
        )
    return table


def _edges(edges: dict[str, EdgeTotals]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left",
                  title="\nedges", title_style="bold")  # fmt: skip
    table.add_column("edge", min_width=12)
    for name in (
        "epoch", "requests", "objects", "admitted", "hit ratio", "LRU", "decayed", "gained",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for name, totals in sorted(edges.items())[:_ROWS]:
        gained = totals.hit_ratio - totals.lru_hit_ratio
        table.add_row(
            name,
            str(totals.last.epoch),
            f"{totals.requests:,}",
            f"{totals.last.objects:,}",
            f"{totals.last.admitted:,}",
            f"{totals.hit_ratio:.3f}",
            f"{totals.lru_hit_ratio:.3f}",
            f"{totals.decayed_hit_ratio:.3f}",
            Text(f"{gained:+.3f}", style="green" if gained >= 0 else "red"),
        )
    return table


def _seconds(seconds: float | None) -> str:
    """A duration for people: 35 ms, 4.2 s, 12 min, 3.5 h, 2.0 d."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return _short(seconds / length, unit)
    return _short(seconds / 86_400, "d")


def _short(value: float, unit: str) -> str:
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
