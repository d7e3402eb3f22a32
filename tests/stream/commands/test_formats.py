"""`tidecast formats`: what ships, and what becomes of a file's lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app
from stream.sources.formats.format import PRESETS

GOOD = '192.0.2.7 - - [01/May/2026:12:00:00 +0000] "GET /a HTTP/1.1" 200 612 "-" "-"\n'
OTHER = GOOD.replace("GET", "POST")


def run(*words: str, given: str = "", code: int = 0) -> str:
    done = CliRunner().invoke(app, ["formats", *words], input=given, env={"COLUMNS": "160"})
    assert done.exit_code == code, done.output
    return done.output or str(done.exception)


def test_what_ships_is_listed_with_what_it_is() -> None:
    listed = run("list")
    for preset in PRESETS.glob("*.toml"):
        assert preset.stem in listed
    assert "around another: NAME+FORMAT" in listed


def test_one_is_printed_to_be_changed() -> None:
    assert run("show", "nginx-json") == (PRESETS / "nginx-json.toml").read_text()
    assert "one of cloudevents" in run("show", "apache", code=1)


@pytest.mark.parametrize("packed", [False, True])
def test_each_line_is_shown_as_what_it_becomes(tmp_path: Path, packed: bool) -> None:
    file, lines = tmp_path / "access.log", (GOOD + OTHER + "broken\n").encode()
    file.write_bytes(gzip.compress(lines) if packed else lines)
    told = run("try", "nginx-combined?edge=fra-3", str(file), code=1)
    assert "timestamp    time (common-log)" in told
    assert "size         bytes; when method is GET; when status is 200" in told
    [record] = [line for line in told.splitlines() if line.startswith("line 1: ")]
    assert json.loads(record.removeprefix("line 1: "))["object_id"] == "/a"
    assert "line 2: passed over" in told
    assert "line 3: refused: got 'broken'; expected a line as nginx-combined has them" in told
    assert "3 lines: 1 become records, 1 are passed over, 1 are refused" in told


def test_all_lines_are_tried_though_few_are_shown() -> None:
    told = run("try", "nginx-combined?edge=a", "-", "--lines", "1", given=GOOD * 3)
    assert "3 lines: 3 become records" in told
    assert "line 1:" in told and "line 2:" not in told


def test_of_an_envelope_of_ours_the_topic_has_to_be_said() -> None:
    record = json.dumps({"op": "c", "after": {"edge_id": "a", "object_id": "b", "timestamp": 1}})
    told = run("try", "debezium+native", "-", code=2, given=record)
    assert "social.events, edge.requests; say" in " ".join(told.split())
    told = run("try", "debezium+native", "-", "--topic", "edge.requests", given=record)
    assert '"object_id":"b"' in told
    told = run("try", "nginx-json", "-", "--topic", "social.events", code=2)
    assert "nginx-json makes records of" in " ".join(told.replace("│", "").split())


def test_what_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    assert "none of that name" in " ".join(run("try", "apache", "-", code=1).split())
    (tmp_path / "mine.toml").write_text("[edge.requests]\nedge_id = 'a'\n")
    told = run("try", str(tmp_path / "mine.toml"), "-", code=1)
    assert "needs object_id, timestamp" in " ".join(told.split())
