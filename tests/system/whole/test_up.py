"""`tidecast up` as a person runs it, and what kcat reads off its topics."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import psutil
import pytest
from aiokafka import ConsumerRecord

from stream.kafka.broker import create_topics_now
from stream.local.embedded import embedded
from stream.processes.roles import inherited
from stream.settings import Settings
from tests.patience import PATIENCE, until_so
from tests.system.conftest import Cluster
from topics.catalogue import CACHE_DECISIONS, CATALOGUE, FORECAST_SCORES, READS

pytestmark = [pytest.mark.system, pytest.mark.embedded]

EDGES = 4  # that `tidecast up` simulates
CONTRACT = Path(__file__).parents[3] / "docs" / "contract"
# Small windows and horizons, so that every topic has something within seconds.
QUICK = {
    "TIDECAST_SNAPSHOT_AGES": "64,256",
    "TIDECAST_HORIZONS": "300,900",
    "TIDECAST_WINDOW": "60",
}
# Without PyTorch, which takes seconds to load.
QUICK_MODELS = {"TIDECAST_FORECASTER": "boosting", "TIDECAST_RANKER": "decayed"}
WRITTEN = {
    "social.events", "edge.requests", "popularity.forecasts", "cascade.outcomes",
    "cache.decisions", "dead.letters", "forecast.scores", "model.calibration",
}  # fmt: skip


def up(folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stream", "up", "--logs", str(folder), *options],
        env={**inherited(), **QUICK, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 4 * PATIENCE) -> tuple[int, str]:
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"tidecast up did not end in {seconds} s:\n{output}")
    return process.returncode, output


def roles_below(folder: Path) -> list[psutil.Process]:
    """Processes that a run with this folder has started and that are still there."""
    found = []
    for process in psutil.process_iter():
        try:
            started = " ".join(process.cmdline()) + process.environ().get("TIDECAST_DATA_DIR", "")
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # of another user, or gone meanwhile
        if str(folder) in started and process.pid != os.getpid():
            found.append(process)
    return found


async def all_is_said(cluster: Cluster, process: subprocess.Popen[str]) -> None:
    """Returns once something is on every topic, of every edge, of what is served and of shadows."""

    def said(records: Sequence[ConsumerRecord]) -> bool:
        assert process.poll() is None, "tidecast up has ended"
        return any(record.value is not None for record in records)  # one without is a heartbeat

    def scored_both(records: Sequence[ConsumerRecord]) -> bool:
        scores = [FORECAST_SCORES.codec.decode(r.value) for r in records if r.value is not None]
        return said(records) and {score.shadow for score in scores} == {True, False}

    def told_all(records: Sequence[ConsumerRecord]) -> bool:
        told = [CACHE_DECISIONS.codec.decode(r.value) for r in records if r.value is not None]
        return said(records) and len({one.edge_id for one in told}) == EDGES

    for topic in WRITTEN:
        await cluster.read(CATALOGUE[topic], said)
    await cluster.read(FORECAST_SCORES, scored_both)
    await cluster.read(CACHE_DECISIONS, told_all)


class Run(NamedTuple):
    """A run that is over, on a broker that is still there."""

    kafka: str
    folder: Path
    output: str
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`tidecast up` until it has said something of everything, and one event that is none."""
    folder = tmp_path_factory.mktemp("up")
    summary = folder / "summary.json"
    with embedded(tmp_path_factory.mktemp("broker")) as (kafka, _):
        cluster = Cluster(Settings(kafka=kafka), folder)
        create_topics_now(cluster.settings)
        asyncio.run(cluster.publish(CATALOGUE["social.events"], [("odd", b"{}")]))
        options = ("--kafka", kafka, "--speed", "120", "--json", str(summary))
        process = up(folder / "runs", *options)
        try:
            asyncio.run(all_is_said(cluster, process))
        finally:
            process.send_signal(signal.SIGINT)
            code, output = finish(process)
        assert code == 0, output
        yield Run(kafka, folder, output, json.loads(summary.read_text()))


def test_a_run_accounts_for_everything_and_leaves_nothing_behind(run: Run) -> None:
    summary = run.summary
    assert summary["events_sent"] == summary["events_consumed"] > 0
    assert summary["requests_sent"] == summary["requests_consumed"] > 0
    assert summary["snapshots"] > 0
    assert summary["forecasts"] > 0
    assert summary["decisions"] > 0
    assert summary["outcomes"] > 0
    kinds = {name.split(" ")[0] for name, told in summary["scores"].items() if told["n"] > 0}
    assert kinds == {"served", "shadow"}
    assert (summary["dead_letters"], summary["final_lag"]) == (1, 0)
    assert 0 < summary["event_to_forecast_seconds"]["p50"] < summary["seconds"]
    assert set(summary["edges"]) == {f"edge-{i}" for i in range(EDGES)}
    roles = ("tracker", "historian", "forecaster", "ranker", "scorer", "gateway")
    assert summary["roles"] == dict.fromkeys(roles, 0)
    assert "live page: http://127.0.0.1:" in run.output
    assert roles_below(run.folder) == []


def test_files_are_replayed_to_their_end(tmp_path: Path) -> None:
    """Two files of cascades and one of requests, into a broker of the run's own."""
    events = " ".join(["r:0", *(f"r/u{n}:{60 * n}" for n in range(1, 40))])
    for name in ("weibo", "twitter"):
        lines = (f"{c}\tr\t{1_400_000_000 + 60 * c}\t40\t{events}\n" for c in range(5))
        (tmp_path / f"{name}.txt").write_text("".join(lines))
    requests = (f"{1_400_000_000 + second},o{second % 7}\n" for second in range(900))
    (tmp_path / "trace.csv").write_text("timestamp,object_id\n" + "".join(requests))
    summary_file = tmp_path / "summary.json"
    options = ["--cascades", "weibo.txt", "--cascades", "twitter.txt", "--requests", "trace.csv"]
    named = [str(tmp_path / word) if "." in word else word for word in options]
    code, output = finish(
        up(tmp_path / "runs", *named, "--json", str(summary_file), **QUICK_MODELS), 300
    )
    assert code == 0, output
    summary = json.loads(summary_file.read_text())
    assert (summary["events_sent"], summary["events_consumed"]) == (400, 400)
    assert (summary["requests_sent"], summary["requests_consumed"]) == (900, 900)
    assert summary["drained"] and summary["dead_letters"] == 0


def test_a_role_that_dies_is_named_with_its_last_lines(tmp_path: Path) -> None:
    code, output = finish(up(tmp_path / "runs", "--for", "60", TIDECAST_FORECASTER="oracle"))
    assert code == 1
    assert "RoleDiedError: forecaster ended by itself" in output
    assert "oracle" in output
    assert roles_below(tmp_path) == []


def await_line(process: subprocess.Popen[str], pattern: str) -> str:
    """Reads what it writes until a line has the pattern; what its last group matched."""
    assert process.stdout is not None
    seen = ""
    while not (found := re.search(pattern, seen)):
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return found[found.re.groups]


def test_a_replay_is_held_stepped_on_and_left_standing(tmp_path: Path) -> None:
    events = " ".join(["r:0", *(f"r/u{n}:{20 * n}" for n in range(1, 40))])
    lines = (f"{c}\tr\t{1_400_000_000 + c}\t40\t{events}\n" for c in range(20))
    (tmp_path / "weibo.txt").write_text("".join(lines))
    options = ("--cascades", str(tmp_path / "weibo.txt"), "--rebase", "1h")
    process = up(
        tmp_path / "runs", *options, "--hold", "30m", "--step", "20m", "--stay", **QUICK_MODELS
    )
    assert process.stdin is not None
    page = await_line(process, r"live page: (\S+)")
    await_line(process, r"running, held at 2015-01-01 00:30:00 of event time .*Enter goes on")
    held = ask_until(f"{page}/api/cascades", lambda found: found["items"])
    assert not held["archive"] and held["event_time"] <= 1_420_070_400 + 1_800
    process.stdin.write("\n")
    process.stdin.flush()
    await_line(process, r"held at 2015-01-01 00:50:00")
    process.stdin.write("\n")
    process.stdin.flush()
    await_line(process, "all is worked off; Ctrl-C ends it")
    over = ask_until(f"{page}/api/cascades?state=all", lambda found: found["total"] == 20)
    assert over["event_time"] > held["event_time"]
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 0, output


def ask_until(address: str, enough: Callable[[Any], Any]) -> Any:
    """The JSON at an address, as soon as it is enough."""

    def found() -> Any:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            told = json.load(answer)
        return told if enough(told) else None

    return until_so(found, address)


def test_ctrl_c_stops_everything_and_still_accounts_for_it(tmp_path: Path) -> None:
    summary_file = tmp_path / "summary.json"
    process = up(tmp_path / "runs", "--json", str(summary_file), **QUICK_MODELS)
    await_line(process, r"running: sent [1-9]")
    assert len(roles_below(tmp_path)) >= 6
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 0, output
    summary = json.loads(summary_file.read_text())
    assert summary["events_sent"] == summary["events_consumed"] > 0
    assert roles_below(tmp_path) == []


def test_the_end_of_its_terminal_stops_everything_in_order(tmp_path: Path) -> None:
    process = up(tmp_path / "runs", **QUICK_MODELS)
    await_line(process, r"running: sent [1-9]")
    os.killpg(process.pid, signal.SIGHUP)
    code, output = finish(process)
    assert code == 0, output
    assert roles_below(tmp_path) == []
    summary = json.loads(output[output.index("{") : output.rindex("}") + 1])
    assert set(summary["roles"].values()) == {0}
    for role in READS:  # with the broker still there, so that what is in flight is committed
        (log,) = tmp_path.glob(f"runs/*/{role}.log")
        told = log.read_text()
        assert f"{role} stopped" in told and "ERROR" not in told, told


@pytest.mark.parametrize("line", ["live page", r"running: sent [1-9]"])
def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path, line: str) -> None:
    process = up(tmp_path / "runs", **QUICK_MODELS)
    await_line(process, line)
    assert len(roles_below(tmp_path)) > 1
    process.kill()
    finish(process)
    until_so(lambda: not roles_below(tmp_path), lambda: f"the end of {roles_below(tmp_path)}")


@pytest.mark.skipif(shutil.which("kcat") is None, reason="needs kcat (apt-get install kcat)")
def test_what_kcat_reads_is_what_the_committed_schemas_say(run: Run) -> None:
    asyncapi = json.loads((CONTRACT / "asyncapi.json").read_text())
    public = {name for name, topic in CATALOGUE.items() if topic.public}
    assert public <= set(asyncapi["channels"])
    for topic in sorted(public):
        messages = kcat(run.kafka, topic)
        assert bool(messages) == (topic in WRITTEN), topic
        for message in messages:
            if topic != "dead.letters" and message["key"] != "odd" and message["payload"]:
                validate(topic, json.loads(message["payload"]))
    letters = kcat(run.kafka, "dead.letters")
    assert [letter["payload"] for letter in letters] == ["{}"]


def kcat(kafka: str, topic: str) -> list[dict[str, Any]]:
    """Every message of a topic as kcat prints it."""
    run = subprocess.run(
        ["kcat", "-b", kafka, "-t", topic, "-C", "-e", "-q", "-J", "-o", "beginning"],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def validate(topic: str, record: Any) -> None:
    """Holds a record against the committed schema of its kind."""
    tagged = {"decision": "CacheDecision", "epoch": "EdgeEpoch"}
    kind = tagged.get(record.get("record")) or CATALOGUE[topic].record.__name__
    validator(kind).validate(record)


@functools.cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((CONTRACT / "schemas" / f"{kind}.json").read_text())
    return jsonschema.Draft202012Validator(schema)
