"""The alert drill, `make drill`: its quickest case for real, and that it leaves no alert out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.system.drill.__main__ import chosen
from tests.system.drill.cases import CASES
from tests.system.drill.rules import RULE_FILES, alerts, deployed, scaled
from tests.system.drill.site import DrillError
from tests.system.environment import ROOT


@pytest.mark.system
@pytest.mark.embedded
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs `make packages`: prometheus")
def test_an_alert_fires_and_goes_quiet(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = [sys.executable, "-m", "tests.system.drill", "--only", "TidecastRoleDown"]
    command += ["--scale", "30", "--json", str(told), "--keep", str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    [result] = json.loads(told.read_text())
    assert result["well"]
    assert result["alert"] == "TidecastRoleDown"
    assert 0 < result["pending"] <= result["firing"]
    assert "does not answer" in result["summary"]


def test_each_alert_is_caused_by_one_case() -> None:
    assert sorted(name for case in CASES for name in case.alerts) == sorted(alerts())


def test_who_asks_for_another_alert_is_told_which_there_are() -> None:
    with pytest.raises(DrillError, match=r"got Nonsense; known are .*TidecastRoleDown"):
        chosen(["Nonsense", "TidecastRoleDown"])


def test_time_in_rules_is_divided_and_nothing_else() -> None:
    for file in RULE_FILES:
        assert scaled(deployed(file), 1) == deployed(file)
    before, after = _expressions(1), _expressions(10)
    ages = {
        "TidecastRolesUnseen": "> 6", "TidecastRoleAtAStandstill": "> 6 and",
        "TidecastRoleLate": "> 3", "TidecastHeartbeatMissing": "> 6",
        "TidecastNoticed": "< 90",
        "TidecastCheckpointOld": "> 60", "TidecastEdgeAgentStale": "> 90",
        "TidecastModelUpdateRefused": "process_start_time_seconds < 90)",
        "TidecastCheckpointFailed": "process_start_time_seconds < 90)",
    }  # fmt: skip
    for name, expression in after.items():
        assert ages.get(name, "") in expression
        # Without ranges and ages, what is left is what was there.
        assert (_without_time(expression) == _without_time(before[name])) == (name not in ages)
    assert after["TidecastRoleAtAStandstill"].endswith("[15s])) > 0.9")
    assert "[6m]" in after["TidecastErrorDrift"]
    rules = scaled(deployed("alerts.yml"), 10)["groups"][0]["rules"]
    lasting = {rule["alert"]: rule.get("for") for rule in rules}
    assert lasting["TidecastCoverageOutOfBand"] == "3m"
    assert lasting["TidecastRoleDown"] == "6s"


def _expressions(scale: float) -> dict[str, str]:
    """Of each alert, when time is divided so."""
    rules = scaled(deployed("alerts.yml"), scale)["groups"][0]["rules"]
    return {rule["alert"]: rule["expr"] for rule in rules}


def _without_time(expression: str) -> str:
    return re.sub(r"\[\w+\]", "[]", expression)
