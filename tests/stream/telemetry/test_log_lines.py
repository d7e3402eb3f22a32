"""Log lines: JSON that a machine reads, text for people, and few of what is alike."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest
from prometheus_client import CollectorRegistry

from stream.telemetry import log_lines
from stream.telemetry.log_lines import JsonLines, Seldom, TextLines
from stream.telemetry.notices import Notices
from stream.telemetry.traces import trace_id
from stream.workers.publishing.output import dead_letter
from stream.workers.refusals import Refusals
from tests.patience import PATIENCE
from tests.stream.tracker.test_role import message


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the log of refusals writes, as JSON."""
    sink = io.StringIO()
    handler = logging.StreamHandler(sink)
    handler.setFormatter(JsonLines("tracker", "7"))
    log = logging.getLogger("stream.workers.refusals")
    log.addHandler(handler)
    yield sink
    log.removeHandler(handler)


def test_a_line_has_all_that_a_machine_asks_for() -> None:
    record = logging.makeLogRecord(
        {"name": "stream.x", "levelname": "WARNING", "msg": "%s\nlost", "args": ("a",),
         "created": 1_700_000_000.25, "trace_id": "4bf9", "snapshots": 3}
    )  # fmt: skip
    (line,) = JsonLines("forecaster", "2").format(record).splitlines()
    told = json.loads(line)
    assert told == {
        "time": "2023-11-14T22:13:20.250+00:00", "level": "warning", "role": "forecaster",
        "instance": "2", "logger": "stream.x", "message": "a\nlost", "trace_id": "4bf9",
        "snapshots": 3,
    }  # fmt: skip
    assert datetime.fromisoformat(told["time"]).timestamp() == record.created
    assert TextLines().format(record).endswith("lost [trace 4bf9]")


def test_an_error_says_its_class_and_where_it_was_raised() -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    told = json.loads(JsonLines("scorer", "0").format(record))
    assert told["error"] == "ValueError"
    assert "raise ValueError" in told["traceback"]


def test_of_many_alike_one_is_said_with_how_many_were_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(log_lines.time, "monotonic", lambda: now)
    seldom = Seldom(10.0)
    assert [seldom.due() for _ in range(4)] == [0, None, None, None]
    now = 10.0
    assert [seldom.due(), seldom.due()] == [3, None]


def test_dead_letters_are_told_with_their_trace_and_place(written: io.StringIO) -> None:
    letters = [dead_letter(message(b"{}", offset), "tracker", "DecodeError", "no field") 
               for offset in range(5)]  # fmt: skip
    notices = Notices("tracker", "7", CollectorRegistry())
    Refusals(notices).note([(0, letter) for letter in letters])
    (line,) = written.getvalue().splitlines()
    told = json.loads(line)
    assert told["role"] == "tracker" and told["instance"] == "7"
    assert "DecodeError: no field" in told["message"]
    assert told["source"] == "social.events/0/0"
    assert told["trace_id"] == trace_id(dict(letters[0].headers)["traceparent"])


@pytest.mark.parametrize(("asked", "is_json"), [("", True), ("json", True), ("text", False)])
def test_a_role_writes_json_unless_a_person_looks(asked: str, is_json: bool) -> None:
    program = (
        "import logging; from stream.settings import Settings; "
        "from stream.telemetry import setup as telemetry; "
        f"telemetry.setup(Settings(log_format={asked!r}, instance='3'), 'tracker'); "
        "logging.getLogger('x').info('begun', extra={'trace_id': 'ab'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.decode().splitlines()
    if is_json:
        told = json.loads(line)
        assert (told["role"], told["instance"], told["trace_id"]) == ("tracker", "3", "ab")
    else:
        assert line.endswith("INFO x: begun [trace ab]")


@pytest.mark.parametrize("sink", ["2>&-", "2>/dev/full"])
def test_a_log_that_cannot_be_written_stops_nothing(sink: str) -> None:
    program = (
        "import logging; from stream.settings import Settings; "
        "from stream.telemetry import setup as telemetry; "
        "telemetry.setup(Settings(), 'tracker'); logging.getLogger('x').info('begun'); print('on')"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {sink}', sys.executable, program],
        stdout=subprocess.PIPE, timeout=120,
    )  # fmt: skip
    assert done.stdout == b"on\n"
