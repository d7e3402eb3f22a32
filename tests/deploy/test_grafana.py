"""deploy/grafana: the dashboards that are committed are those that its code writes, Grafana's own
types read them, and Prometheus can parse what they ask."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "grafana"
FILES = sorted((FOLDER / "dashboards").glob("*.json"))
RECORDING = yaml.safe_load((ROOT / "deploy" / "prometheus" / "recording.yml").read_text())


def queries(file: Path) -> list[dict[str, Any]]:
    panels = json.loads(file.read_text())["panels"]
    return [query for panel in panels for query in panel.get("targets", ())]


def test_what_is_committed_is_what_the_code_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "generate.py", tmp_path], check=True, timeout=PATIENCE)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in FILES}
    assert len(written) == 3


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_grafana_s_types_read_a_dashboard_whole(file: Path) -> None:
    register_default_plugins()
    stored = json.loads(file.read_text())
    assert json.loads(JSONEncoder().encode(Dashboard.from_json(stored))) == stored


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_panels_say_what_they_show_and_do_not_overlap(file: Path) -> None:
    panels = json.loads(file.read_text())["panels"]
    graphs = [panel for panel in panels if panel["type"] != "row"]
    assert all(panel["title"] and panel["description"] for panel in graphs)
    assert len({panel["title"] for panel in graphs}) == len(graphs)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)
    for panel in graphs:
        references = [query["refId"] for query in panel["targets"]]
        assert len(set(references)) == len(references) <= 26


def test_recorded_series_that_dashboards_ask_for_are_recorded() -> None:
    recorded = {rule["record"] for group in RECORDING["groups"] for rule in group["rules"]}
    asked = {
        q["expr"] for file in FILES for q in queries(file) if q["expr"].startswith("tidecast:")
    }
    assert asked and asked <= recorded


def test_prometheus_parses_what_dashboards_ask(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (apt-get install prometheus)")
    rules = [
        {"record": f"asked:{number}", "expr": query["expr"].replace("$__rate_interval", "1m")}
        for number, query in enumerate(q for file in FILES for q in queries(file))
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_provisioning_is_where_compose_mounts_it() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/tidecast.yml").read_text())
    assert mounts["./deploy/grafana/dashboards"] == provider["providers"][0]["options"]["path"]
    source = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yml").read_text())
    [prometheus] = source["datasources"]
    assert prometheus["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    used = {query["datasource"]["uid"] for file in FILES for query in queries(file)}
    assert used == {prometheus["uid"]}
