"""deploy/prometheus: its rules are right, each alert fires where it has to and is quiet where it
has not to (alerts.yml beside this file, run by promtool), and each has a page that says what to do.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.gateway.roles import ROLES
from stream.settings import Settings
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
CASES = Path(__file__).with_name("alerts.yml")
SECTIONS = ("## What it means", "## Look at", "## Do")
CONFIGURATION = yaml.safe_load((FOLDER / "prometheus.yml").read_text())


def rules(file: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("needs promtool (apt-get install prometheus)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=PATIENCE)


def test_the_configuration_and_its_rules_are_right() -> None:
    done = promtool("check", "config", FOLDER / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rules found") == len(CONFIGURATION["rule_files"])


def test_alerts_fire_where_they_have_to_and_are_quiet_where_not() -> None:
    done = promtool("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_expectation_would_be_noticed(tmp_path: Path) -> None:
    cases = yaml.safe_load(CASES.read_text())
    cases["rule_files"] = [str(FOLDER / "recording.yml"), str(FOLDER / "alerts.yml")]
    cases["tests"] = [case for case in cases["tests"] if case["name"] == "firing TidecastRoleLate"]
    wrong = tmp_path / "alerts.yml"
    wrong.write_text(yaml.safe_dump(cases).replace("is 45s behind", "is 46s behind"))
    done = promtool("test", "rules", wrong)
    assert done.returncode != 0
    assert "is 45s behind" in done.stderr + done.stdout


def test_each_alert_has_a_case_of_each_kind() -> None:
    covered: dict[str, set[str]] = {"firing": set(), "quiet": set()}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        kind, name = case["name"].split()[:2]
        for asked in case["alert_rule_test"]:
            assert asked["alertname"] == name
            assert bool(asked.get("exp_alerts")) == (kind == "firing"), case["name"]
        covered[kind].add(name)
    assert covered == {"firing": set(ALERTS), "quiet": set(ALERTS)}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_where_help_is(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    page = (ROOT / rule["annotations"]["runbook_url"]).read_text()
    assert page.startswith(f"# {name}\n")
    places = [page.index(section) for section in SECTIONS]
    assert places == sorted(places)


def test_each_page_is_of_an_alert() -> None:
    pages = {f"docs/runbooks/{path.name}" for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    pages.remove("docs/runbooks/README.md")  # says how to do what they say
    assert pages == {rule["annotations"]["runbook_url"] for rule in ALERTS.values()}


def test_commands_and_settings_on_pages_are_those_of_the_program() -> None:
    known = {f"TIDECAST_{name.upper()}" for name in Settings.__dataclass_fields__}
    known |= {"TIDECAST_CONFIG"}
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        assert set(re.findall(r"TIDECAST_\w+", path.read_text())) <= known, path


def test_thresholds_that_follow_a_setting_are_that_setting() -> None:
    defaults = Settings()
    names = ("TidecastEdgeAgentStale", "TidecastCheckpointOld", "TidecastRoleLate")
    bound = {name: float(ALERTS[name]["expr"].split()[-1]) for name in names}
    assert bound["TidecastEdgeAgentStale"] == float(defaults.edge_stale_after)
    assert bound["TidecastCheckpointOld"] == float(defaults.checkpoint_max_age)
    assert bound["TidecastRoleLate"] == float(defaults.stale_after)


def test_each_role_is_scraped_where_compose_has_it() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    jobs = {job["job_name"]: job for job in CONFIGURATION["scrape_configs"]}
    assert set(jobs) == {*ROLES, "gateway", "heart", "edge-agent"}
    for name in (*ROLES, "gateway", "heart"):
        port = services[name]["environment"]["TIDECAST_METRICS_PORT"]
        assert jobs[name]["static_configs"] == [{"targets": [f"{name}:{port}"]}]
    [discovery] = jobs["edge-agent"]["dns_sd_configs"]
    assert discovery["names"] == ["edge-agent"]
    assert discovery["port"] == Settings().edge_port
