"""Every metric that operators are told of is exported by a running role, and every one exported is
told of: in a rule, on a dashboard or in a runbook."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.gateway import address
from stream.gateway.roles import ROLES
from stream.http.listening import free_port
from stream.kafka.broker import create_topics
from stream.processes.roles import inherited
from stream.settings import PREFIX, load
from tests.patience import PATIENCE, until
from tests.system.conftest import Cluster
from tests.system.environment import ROOT
from topics.catalogue import EDGE_REQUESTS

pytestmark = pytest.mark.system

NAME = re.compile(r"\b(?:tidecast|process)_\w+")
# name{labels}, with or without labels that are asked for.
SELECTOR = re.compile(r"\b(tidecast_\w+)\{([^}]*)\}")
# Small windows and horizons, so that scores come within seconds.
QUICK = {"snapshot_ages": "64,256", "horizons": "300,900", "window": "60"}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@dataclass
class Exported:
    """What was scraped: names of samples and of histograms; labels and their values by sample."""

    names: set[str] = field(default_factory=set)
    histograms: set[str] = field(default_factory=set)
    labels: dict[str, set[tuple[str, str]]] = field(default_factory=dict)

    def take(self, text: str) -> None:
        """Takes in a scrape. A family without samples yet still says its name and its type."""
        for family in text_string_to_metric_families(text):
            if family.name.endswith("_created"):
                continue  # when a counter began, which prometheus-client adds to each
            if family.type == "histogram":
                self.histograms.add(family.name)
            self.names |= {family.name + suffix for suffix in SUFFIXES.get(family.type, ())}
            for sample in family.samples:
                self.labels.setdefault(sample.name, set()).update(sample.labels.items())


def told() -> dict[str, str]:
    """What operators are given, by where it stands."""
    patterns = ("deploy/prometheus/*.yml", "deploy/grafana/dashboards/*.json", "docs/runbooks/*.md")
    return {
        str(path.relative_to(ROOT)): path.read_text().replace('\\"', '"')  # as JSON writes it
        for pattern in patterns
        for path in sorted(ROOT.glob(pattern))
    }


def is_told(name: str, mentioned: set[str]) -> bool:
    """A histogram is told of by any of its samples."""
    stem = re.sub("_(bucket|sum|count)$", "", name)
    return bool({name, *(stem + suffix for suffix in SUFFIXES["histogram"])} & mentioned)


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


@contextmanager
def edge_agent(cluster: Cluster) -> Iterator[str]:
    """The agent of edge-0 as a process; gives the address of its metrics."""
    port = free_port()
    environment = cluster.settings.environment() | {
        PREFIX + "EDGE_PORT": str(port), PREFIX + "EDGE_SOCKET": "",
    }  # fmt: skip
    command = [sys.executable, "-m", "stream", "edge-agent", "--edge", "edge-0"]
    with (cluster.folder / "edge-agent.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=inherited() | environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


async def simulate(cluster: Cluster, seconds: float) -> None:
    """Traffic as `tidecast simulate` sends it."""
    command = [sys.executable, "-m", "stream", "simulate", "--speed", "120"]
    command += ["--for", str(seconds), "--kafka", cluster.settings.kafka]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def run_under_load(cluster: Cluster) -> Exported:
    """Runs every role until a forecast has been scored, and scrapes them."""
    roles = [cluster.start(role) for role in (*ROLES, "gateway", "heart")]
    scorer = roles[ROLES.index("scorer")]
    with edge_agent(cluster) as agent:
        await cluster.has_joined(*roles)
        await cluster.publish(EDGE_REQUESTS, [("odd", b"{}")])
        await simulate(cluster, 15)
        at = address.url(cluster.settings.http_host, cluster.settings.http_port)

        def all_is_worked_off() -> bool:
            cluster.assert_alive()
            standings = json.loads(scrape(f"{at}/api/health"))["roles"]
            scored = "tidecast_scorer_error_mean_log2" in scorer.metrics()
            return scored and all(role["lag"] == 0 for role in standings)

        await until(all_is_worked_off, "a forecast that is scored, and nothing that waits")
        exported = Exported()
        for url in (*(role.metrics_url for role in roles), agent):
            exported.take(scrape(url))
    return exported


async def test_what_is_exported_is_told_of_and_what_is_told_of_is_exported(
    bare_cluster: Cluster,
) -> None:
    environment = bare_cluster.settings.environment()
    environment |= {PREFIX + name.upper(): value for name, value in QUICK.items()}
    bare_cluster.settings = address.with_free_port(load(environment=environment))
    await create_topics(bare_cluster.settings)
    exported = await run_under_load(bare_cluster)

    texts = told()
    mentioned = {place: set(NAME.findall(text)) for place, text in texts.items()}
    for place, names in mentioned.items():
        # A page may speak of a histogram as a whole; an expression has to name its samples.
        known = exported.names | (exported.histograms if place.endswith(".md") else set())
        assert names <= known, f"{place} names what no role exports"
    everywhere = set().union(*mentioned.values())
    ours = {name for name in exported.names if name.startswith("tidecast_")}
    untold = {name for name in ours if not is_told(name, everywhere)}
    assert untold == set(), "exported, but in no rule, dashboard or runbook"

    for place, text in texts.items():
        for name, matchers in SELECTOR.findall(text):
            for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
                assert (label, value) in exported.labels.get(name, set()), (place, name, label)
