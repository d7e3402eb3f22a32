"""Writes the dashboards of Grafana.

    python deploy/grafana/generate.py [FOLDER]    default: dashboards/ beside this file

Each panel is a line of a table below: what it shows, its unit, what it means, and expressions by
legend. Times in queues and times of computing stand side by side, never added up unsaid.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
_WIDTH, _HEIGHT = 8, 7  # three panels a row of Grafana's 24 columns


class Panel(NamedTuple):
    """A graph: expressions by legend."""

    title: str
    unit: str
    meaning: str
    lines: dict[str, str]


Board = dict[str, list[Panel]]  # panels by the title of their row


def rate(name: str, by: str = "") -> str:
    """How much a counter rises a second."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate(tidecast_{name}_total[$__rate_interval]))"


def rates(role: str, **legends: str) -> dict[str, str]:
    """Counters of a role: its metric by legend, underscores for spaces."""
    return {legend.replace("_", " "): rate(f"{role}_{name}") for legend, name in legends.items()}


def p99(role: str, *names: str) -> dict[str, str]:
    """The 99th percentile of histograms of a role."""
    return {
        f"{name}, p99": (
            "histogram_quantile(0.99, sum by (le) "
            f"(rate(tidecast_{role}_{name}_seconds_bucket[$__rate_interval])))"
        )
        for name in names
    }


def total(name: str, by: str = "") -> str:
    """A gauge over all workers."""
    return f"sum{f' by ({by})' if by else ''} (tidecast_{name})"


def quality(name: str) -> dict[str, str]:
    """A figure of the scorer, a mean over ages."""
    legend = "{{kind}} {{model}} {{version}}, {{horizon}} s"
    return {legend: f"avg by (kind, model, version, horizon) (tidecast_scorer_{name})"}


def ingest(role: str, of: str) -> list[Panel]:
    """What tracker and historian have alike."""
    return [
        Panel(f"{of} read", "ops", "And what became of them.", {
            "read": rate(f"{role}_records"),
            "{{result}}": rate(f"{role}_results", "result"),
            "read to rebuild state": rate(f"{role}_rebuilt_records"),
        }),
        Panel(f"Messages of the {role}", "ops", "Published, acknowledged.", {
            "{{topic}}": rate(f"{role}_outputs", "topic"),
        }),
        Panel(f"Time of the {role}", "s", "Its own, and the broker's until committed.",
              p99(role, "compute", "publish")),
        Panel(f"Records behind, {role}", "short", "By partition.", {
            "partition {{partition}}": total(f"{role}_lag_records", "partition"),
        }),
    ]  # fmt: skip


ROLES = ("tracker", "historian", "forecaster", "ranker", "scorer", "gateway", "heart")
STREAM: Board = {
    "Is it well": [
        Panel("Lag", "s", "How long the oldest message that a role has not worked off waits.", {
            "{{role}}": "max by (role) (tidecast_gateway_role_lag_seconds)",
        }),
        Panel("Event to forecast, p99", "s", "In queues, and in computing.", {
            "queue": "tidecast:forecast_queue_seconds:p99_5m",
            "compute": "tidecast:forecast_compute_seconds:p99_5m",
        }),
        Panel("Dead letters", "ops", "Messages that a role could not use.", {
            "{{role}}": "tidecast:dead_letters:rate5m",
        }),
        Panel("Noticed", "ops", "About the input, and results suffer from it.", {
            "{{role}}, {{kind}}": rate("noticed", "role, kind"),
        }),
        Panel("Roles that answer", "short", "Workers that Prometheus reaches.", {
            "{{job}}": "sum by (job) (up)",
        }),
        Panel("Partitions", "short", "Assigned to the workers of a role.", {
            role: total(f"{role}_partitions") for role in ROLES
        }),
        Panel("Since the roles were seen", "s", "Since the broker last told how they are.", {
            "seconds": "time() - max(tidecast_gateway_roles_seen_timestamp_seconds)",
        }),
    ],
    "Heartbeats": [
        Panel("Heartbeat out of each role", "s", "Since the latest was sent that has come out.", {
            "{{role}}": "max by (role) (tidecast_gateway_heartbeat_age_seconds)",
        }),
        Panel("Age at each stage", "s", "Of the latest heartbeat when it had passed, the oldest.", {
            "{{role}}, {{topic}}":
                "max by (role, topic) (tidecast_heartbeat_age_seconds)",
        }),
        Panel("Since a heartbeat passed", "s", "Of the partition where it is longest ago.", {
            "{{role}}, {{topic}}": "time() - min by (role, topic) (max by (role, topic, partition)"
                                   " (tidecast_heartbeat_passed_timestamp_seconds))",
            "sent a second": rate("heart_sent"),
        }),
    ],
    "Tracker": ingest("tracker", "Events"),
    "Historian": ingest("historian", "Requests"),
    "Checkpoints": [
        Panel("Age of checkpoints", "s", "The oldest of each role.", {
            "{{job}}": "time() - min by (job) (tidecast_checkpoint_timestamp_seconds)",
        }),
        Panel("Not written or not used", "ops", "By reason.", {
            "{{job}}, {{reason}}": rate("checkpoint_failures", "job, reason"),
        }),
        Panel("Size of checkpoints", "bytes", "All partitions of a role.", {
            "{{job}}": total("checkpoint_bytes", "job"),
        }),
        Panel("Time of checkpoints, p99", "s", "Work that waits for a copy; writing beside it.", {
            f"{what}, p99": (
                "histogram_quantile(0.99, sum by (le) "
                f"(rate(tidecast_checkpoint_{what}_seconds_bucket[$__rate_interval])))"
            )
            for what in ("pause", "write")
        }),
        Panel("Recoveries", "s", "How long the latest of a role took, the longest partition.", {
            "{{job}}": "max by (job) (tidecast_recovery_seconds)",
        }),
    ],
    "Gateway": [
        Panel("Messages read by the gateway", "ops", "And those it could not read.", {
            "{{topic}}": rate("gateway_records", "topic"),
            "{{topic}}, not read": rate("gateway_undecodable", "topic"),
        }),
        Panel("Answers", "reqps", "By HTTP status.", {
            "{{status}}": rate("gateway_answers", "status"),
        }),
        Panel("Held by the gateway", "short", "Cascades, and pages that follow live.", {
            "cascades": total("gateway_cascades"),
            "streams": total("gateway_streams"),
        }),
    ],
}  # fmt: skip

FORECASTS: Board = {
    "Forecaster": [
        Panel("Forecasts", "ops", "Made, and how many of them in a special way.", rates(
            "forecaster", snapshots_read="snapshots", events_in_them="events",
            forecasts="forecasts", by_SEISMIC_instead="degraded", past_the_horizon="past_horizon",
            dead_letters="dead_letters")),
        Panel("Time of the forecaster", "s",
              "From the event's arrival to the batch's start; a batch; a call of the model.",
              p99("forecaster", "queue", "compute", "call")),
        Panel("Cost of the model", "s", "What a call, a snapshot and an event of it take.", {
            "{{of}}": "max by (of) (tidecast_forecaster_cost_seconds)",
        }),
        Panel("Degraded", "percentunit", "Share of forecasts that SEISMIC made instead.", {
            "degraded": "tidecast:degraded_forecasts:ratio5m",
        }),
        Panel("Versions served", "short", "Workers that serve each.", {
            "{{name}} {{version}}": total("forecaster_model_info", "name, version"),
            "swapped": "sum (increase(tidecast_forecaster_swaps_total[5m]))",
            "refused": "sum (increase(tidecast_forecaster_failed_swaps_total[5m]))",
        }),
        Panel("Shadows", "ops", "Models tried beside the served one.", {
            "{{shadow}} forecasts": rate("forecaster_shadow_forecasts", "shadow"),
            "{{shadow}} skipped": rate("forecaster_shadow_skipped", "shadow"),
            "{{shadow}} failed": rate("forecaster_shadow_failures", "shadow"),
        }),
    ],
    "Realised error": [
        Panel("MSLE", "short", "Mean squared error of log2(1 + increment).", quality("msle")),
        Panel("MSLE before correction", "short", "Of the points as models state them.",
              quality("own_msle")),
        Panel("MAPE", "percentunit", "Error of log2(2 + increment) over what came.",
              quality("mape_ratio")),
        Panel("Bias", "short", "Above 0: too much was forecast.", quality("bias_log2")),
        Panel("Top 1 % caught", "percentunit", "Of those that grew most.",
              quality("top_caught_ratio")),
        Panel("Scores by kind", "ops", "Forecasts held against what came.", {
            "{{kind}} {{model}} {{version}}": rate("scorer_scores", "kind, model, version"),
        }),
        Panel("Error drift", "short", "Mean error since the last change found; changes an hour.", {
            "{{model}} {{version}}, {{horizon}} s":
                "avg by (model, version, horizon) (tidecast_scorer_error_mean_log2)",
            "changes of {{model}} {{version}}, {{horizon}} s":
                "sum by (model, version, horizon)"
                " (increase(tidecast_scorer_error_drifts_total[1h]))",
        }),
    ],
    "Intervals": [
        Panel("Coverage served", "percentunit", "Of 90 % intervals: 85 to 95 % is right.", {
            "{{model}} {{version}}, {{horizon}} s": "tidecast:coverage:ratio",
        }),
        Panel("Coverage by kind", "percentunit", "Corrected.", quality("coverage_ratio")),
        Panel("Coverage before correction", "percentunit", "As models state their intervals.",
              quality("own_coverage_ratio")),
        Panel("Point corrections", "short", "By how much point and quantiles are moved, log2.", {
            "{{model}} {{version}}, {{horizon}} s":
                "avg by (model, version, horizon) (tidecast_scorer_point_correction_log2)",
        }),
        Panel("Interval corrections", "short", "By how much an end is moved outwards, log2.", {
            "{{end}} {{model}} {{version}}, {{horizon}} s":
                "avg by (end, model, version, horizon) (tidecast_scorer_interval_correction_log2)",
        }),
    ],
    "Scorer": [
        Panel("Scorer", "ops", "What became of forecasts and outcomes.", {
            "{{topic}} read": rate("scorer_records", "topic"),
            **rates("scorer", scored="scored", learnt_from="calibrated", read_again="repeats",
                    no_room="refused", moved="moved", no_outcome_came="unmatched",
                    dead_letters="dead_letters", read_to_rebuild_state="rebuilt_entries"),
        }),
        Panel("Awaited", "short", "Forecasts and outcomes that are held.", {
            "held": total("scorer_awaited"),
        }),
        Panel("Time of the scorer", "s",
              "From the record's Kafka timestamp to the batch's start; a batch.",
              p99("scorer", "queue", "compute")),
        Panel("Input drift", "short", "Mean since the last change found; changes an hour.", {
            "{{what}}": "avg by (what) (tidecast_scorer_input_mean_log2)",
            "changes of {{what}}":
                "sum by (what) (increase(tidecast_scorer_input_drifts_total[1h]))",
        }),
    ],
}  # fmt: skip


def hit_ratio(kind: str) -> str:
    """Of a shadow cache, over the requests of closed epochs."""
    return f"{rate(f'ranker_{kind}hits')} / ({rate('ranker_requests')} > 0)"


CACHING: Board = {
    "Ranker": [
        Panel("Hit ratio", "percentunit", "Of caches of equal size.", {
            "obeying decisions": hit_ratio("obeying_"),
            "LRU": hit_ratio("lru_"),
            "decayed count": hit_ratio("decayed_"),
        }),
        Panel("Gained on LRU", "percentunit", "Over the latest epoch of every edge.", {
            "gained": "avg (tidecast_ranker_hit_ratio_gained)",
        }),
        Panel("Edges", "short", "Those that stand down get no decisions.", {
            "known": total("ranker_edges"),
            "standing down": total("ranker_edges_standing_down"),
        }),
        Panel("Versions that rank", "short", "Workers that rank by each.", {
            "{{name}} {{version}}": total("ranker_model_info", "name, version"),
        }),
        Panel("Ranker", "ops", "What it reads and publishes.", rates(
            "ranker", windows="windows", decisions="decisions", returned="returned",
            dead_letters="dead_letters", read_to_rebuild_state="rebuilt_windows",
            models_swapped="swaps", updates_refused="failed_swaps")),
        Panel("Time of the ranker", "s",
              "From the request's arrival to the batch's start; a batch.",
              p99("ranker", "queue", "compute")),
    ],
    "Edge agents": [
        Panel("Staleness", "s", "Since the latest closed epoch; not obeyed from 900 s on.", {
            "{{instance}}": "tidecast_edge_agent_staleness_seconds",
        }),
        Panel("Obeying", "short", "1 while decisions are to be obeyed.", {
            "{{instance}}": "tidecast_edge_agent_obeying",
        }),
        Panel("Decisions in force", "short", "And those beyond the bound.", {
            "{{instance}}": "tidecast_edge_agent_decisions",
            "{{instance}}, dropped": "tidecast_edge_agent_dropped_decisions",
        }),
        Panel("Epoch and version", "short", "Of the table of decisions.", {
            "{{instance}}, epoch": "tidecast_edge_agent_epoch",
            "{{instance}}, version": "tidecast_edge_agent_version",
        }),
        Panel("Edge agents", "ops", "What comes in and goes out.", rates(
            "edge_agent", records="records", bad_records="bad_records", look_ups="look_ups",
            changes_told="changes", requests_refused="refused", no_target="unaddressable")),
        Panel("Prefetching and Varnish", "ops", "And what failed of it.", rates(
            "edge_agent", prefetched="prefetched", prefetch_failures="prefetch_failures",
            Varnish_told="filled", Varnish_failures="fill_failures")),
    ],
}  # fmt: skip

BOARDS = {"stream": STREAM, "forecasts": FORECASTS, "caching": CACHING}


def built(name: str, board: Board) -> str:
    """A dashboard as Grafana reads it."""
    dashboard = (
        Dashboard(f"tidecast: {name}")
        .uid(f"tidecast-{name}")
        .tags(["tidecast"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
    )
    for row, panels in board.items():
        dashboard.with_row(Row(row))
        for panel in panels:
            dashboard.with_panel(drawn(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(dashboard.build()) + "\n"


def drawn(panel: Panel) -> TimeSeries:
    """A graph over time."""
    graph = (
        TimeSeries()
        .title(panel.title)
        .description(panel.meaning)
        .unit(panel.unit)
        .datasource(SOURCE)
        .span(_WIDTH)
        .height(_HEIGHT)
        .fill_opacity(8)
    )
    for number, (legend, expression) in enumerate(panel.lines.items()):
        query = Dataquery().expr(expression).legend_format(legend).datasource(SOURCE)
        graph.with_target(query.ref_id(chr(ord("A") + number)))
    return graph


def main(folder: Path) -> None:
    """Writes each dashboard to a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, board in BOARDS.items():
        (folder / f"{name}.json").write_text(built(name, board))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("dashboards"))
