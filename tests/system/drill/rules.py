"""The deployed rules and jobs of Prometheus on a faster clock, for the alert drill.

An alert that asks for half an hour of trouble cannot be waited for, so time is divided by a scale.
What is divided, and nothing else:

    for: 5m                       how long it has to last
    [5m], [1h]                    what rates, increases and slopes are taken over; 15 s at least,
                                  for the gateway looks every two, however fast time goes
    time() - x > 600              ages: time() less something, and the metrics ..._lag_seconds,
    x_lag_seconds > 60            ..._age_seconds and ..._staleness_seconds, compared with > or <

Ratios, counts, rates a second and latencies (how long a forecast takes is the machine's matter)
stay as they are deployed. Settings of the roles that tell the same time as a rule, such as the
interval of heartbeats, have to be divided along: `SCALED_SETTINGS`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stream.settings import Duration, Settings

DEPLOYED = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"
RULE_FILES = ("recording.yml", "alerts.yml")
SCALED_SETTINGS = (
    "heartbeat", "stale_after", "edge_stale_after", "checkpoint_interval", "checkpoint_max_age",
)  # fmt: skip
_LEAST_RANGE = 15.0  # seconds
_RANGE = re.compile(r"\[(\d+[smhd])\]")
# From what is an age to the number that it is compared with; a range in between makes a slope.
_AGE = re.compile(r"((?:\btime\(\)|_(?:lag|age|staleness)_seconds)[^<>\[]*[<>] )(\d+)(?![\d.])")
Rules = dict[str, Any]


def deployed(file: str) -> Rules:
    """What a file of deploy/prometheus holds."""
    content: Rules = yaml.safe_load((DEPLOYED / file).read_text())
    return content


def alerts() -> dict[str, Rules]:
    """The deployed alerts by name."""
    groups = deployed("alerts.yml")["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def scaled(rules: Rules, scale: float) -> Rules:
    """Rules whose time is divided by `scale`; see above for what that is."""
    faster = copy.deepcopy(rules)
    for group in faster["groups"]:
        for rule in group["rules"]:
            rule["expr"] = scaled_expression(rule["expr"], scale)
            if "for" in rule:
                rule["for"] = _divided(rule["for"], scale)
    return faster


def scaled_expression(expression: str, scale: float) -> str:
    """An expression with its ranges, and the ages that it compares, divided.

    >>> scaled_expression("max(x_lag_seconds) > 60 and deriv(x_lag_seconds[1m]) > 0.9", 10)
    'max(x_lag_seconds) > 6 and deriv(x_lag_seconds[15s]) > 0.9'
    """
    ages = _AGE.sub(lambda found: f"{found[1]}{float(found[2]) / scale:g}", expression)
    return _RANGE.sub(lambda found: f"[{_divided(found[1], scale, _LEAST_RANGE)}]", ages)


def scaled_settings(settings: Settings, scale: float) -> Settings:
    """Settings of roles that are watched by scaled rules."""
    return settings.having(
        **{name: Duration(getattr(settings, name) / scale) for name in SCALED_SETTINGS}
    )


def write_configuration(folder: Path, scale: float, addresses: Mapping[str, str]) -> Path:
    """Writes what Prometheus is started with: the deployed jobs and rules; returns its file.

    Args:
        addresses: host:port of the role of each job that is there; the others are left out.
    """
    for file in RULE_FILES:
        (folder / file).write_text(yaml.safe_dump(scaled(deployed(file), scale), width=1_000))
    configuration = deployed("prometheus.yml")
    configuration["global"] = {
        "scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "1s",
    }  # fmt: skip
    configuration["scrape_configs"] = [
        {**_asked_as_deployed(job), "static_configs": [{"targets": [addresses[job["job_name"]]]}]}
        for job in configuration["scrape_configs"]
        if job["job_name"] in addresses
    ]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    return path


def _asked_as_deployed(job: Rules) -> Rules:
    """A job without where its targets are."""
    return {name: value for name, value in job.items() if not name.endswith("_sd_configs")}


def _divided(duration: str, scale: float, least: float = 0.0) -> str:
    seconds = Duration(max(Duration.parse(duration) / scale, least))
    return str(seconds) if seconds.is_integer() else f"{round(seconds * 1000)}ms"
