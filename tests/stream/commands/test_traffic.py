"""`tidecast replay` and `tidecast simulate`: what they print, what they send, what they refuse."""

import asyncio
import json
import signal
import subprocess
import sys
import time

import msgspec
import pytest
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from typer.testing import CliRunner

from stream.commands.traffic import moment, replay_app, simulate
from stream.http.listening import free_port
from stream.kafka.broker import BrokerError, create_topics_now
from stream.local.embedded import embedded
from stream.settings import Settings
from stream.sources.messages import EVENTS, SourceError
from stream.sources.too_late import TooLateError
from tests.patience import PATIENCE, until_so
from topics.catalogue import CATALOGUE
from topics.records import SocialEvent

app = typer.Typer()
app.add_typer(replay_app, name="replay")
app.command()(simulate)

CASCADES = "a-7\tu1\t100\t3\tu1:0 u1/u2:5 u1/u2/u3:9\nb\tu5\t103\t2\tu5:0 u5/u1:2\n"
TRACE = "timestamp,object_id,client_id\n10,7,c1\n11,8,c2\n11,7,c1\n"


@pytest.fixture
def files(tmp_path):
    cascades, requests = tmp_path / "one.txt", tmp_path / "two.csv"
    cascades.write_text(CASCADES)
    requests.write_text(TRACE)
    return str(cascades), str(requests)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with embedded(tmp_path_factory.mktemp("broker")) as (address, _):
        create_topics_now(Settings(kafka=address))
        yield address


@pytest.fixture
def fresh_kafka(tmp_path):
    with embedded(tmp_path / "broker") as (address, _):
        create_topics_now(Settings(kafka=address))
        yield address


def run(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def printed(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_dry_runs_print_messages(files):
    cascades, requests = files
    shown = printed("replay", "cascades", cascades, "--dry-run", "--limit", "4")
    assert [line["value"]["event_id"] for line in shown] == [
        "one/a-7:0", "one/b:0", "one/a-7:1", "one/b:1",
    ]  # fmt: skip
    assert shown[0]["topic"] == "social.events"
    assert shown[0]["key"] == "one/a-7"
    shown = printed("replay", "requests", requests, "--dry-run", "--edges", "1")
    assert [line["key"] for line in shown] == ["edge-0"] * 3
    shown = printed("simulate", "--dry-run", "--seed", "4")
    assert len(shown) == 10
    for line in shown:
        CATALOGUE[line["topic"]].codec.decode(json.dumps(line["value"]).encode())
    assert shown == printed("simulate", "--dry-run", "--seed", "4")


def test_publish_times_are_laid_onto_the_window(files):
    shown = printed(
        "replay", "cascades", files[0], "--dry-run", "--rebase", "1m", "--start", "2024-05-01",
        "--kind", "view",
    )  # fmt: skip
    start = moment("2024-05-01T00:00:00+00:00")
    assert [line["value"]["timestamp"] - start for line in shown] == [0, 5, 9, 30, 32]
    assert [line["value"]["kind"] for line in shown] == ["post", "view", "view", "post", "view"]


def test_moments():
    assert moment("1970-01-02") == 86_400
    assert moment("1970-01-01T01:00:00+01:00") == 0
    assert moment("12.5") == 12.5
    before = time.time()
    assert before <= moment("now") <= time.time()
    with pytest.raises(ValueError, match="soon"):
        moment("soon")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["replay", "cascades", "FILE", "--rebase", "1x"], "expected seconds or a duration"),
        (["replay", "cascades", "FILE", "--start", "soon", "--rebase", "1h"], "soon"),
        (["replay", "cascades", "FILE", "--start", "now"], "give that too"),
        (["replay", "cascades", "FILE", "--kind", "post"], "post"),
        (["replay", "requests", "FILE", "--edges", "0"], "--edges"),
        (["simulate", "--speed", "-1"], "--speed"),
    ],
)
def test_wrong_options_are_refused_with_the_reason(files, arguments, reason):
    result = run(*(files[0] if argument == "FILE" else argument for argument in arguments))
    assert result.exit_code == 2
    assert reason in " ".join(result.output.replace("│", "").split())


def test_a_missing_file_and_a_missing_broker_are_named(files):
    missing = run("replay", "cascades", "nowhere.txt")
    assert missing.exit_code == 2
    assert "nowhere.txt: no such file" in " ".join(missing.output.replace("│", "").split())
    nothing = run("simulate", "--rate", "0", "--requests-rate", "0", "--dry-run")
    assert isinstance(nothing.exception, SourceError)
    unreachable = run("replay", "requests", files[1], "--kafka", f"127.0.0.1:{free_port()}")
    assert isinstance(unreachable.exception, BrokerError)
    assert "tidecast broker" in str(unreachable.exception)


@pytest.mark.system
def test_what_was_sent_is_told(files, kafka):
    result = run("replay", "cascades", files[0], "--kafka", kafka)
    assert result.exit_code == 0, result.output
    assert "sent 5 to social.events" in result.stderr
    assert "event time up to 1970-01-01 00:01:49" in result.stderr
    result = run("replay", "requests", files[1], "--kafka", kafka, "--limit", "2")
    assert "sent 2 to edge.requests" in result.stderr
    result = run("simulate", "--kafka", kafka, "--for", "1", "--speed", "10")
    assert result.exit_code == 0, result.output
    assert "to edge.requests" in result.stderr


@pytest.mark.system
def test_what_is_older_than_what_the_broker_has_is_not_sent(tmp_path, fresh_kafka):
    """Nor if heartbeats, what does not decode, and what is of the future came after it."""
    newer, older = tmp_path / "newer.txt", tmp_path / "older.txt"
    newer.write_text("n\tu\t1464745294\t2\tu:0 u/v:100\n")
    older.write_text("o\tu\t1338802252\t1\tu:0\n")
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp,object_id\n1338802252,x\n")

    def send(*arguments):
        return run(*arguments, "--kafka", fresh_kafka)

    # Nothing is there yet, and what is younger may come.
    assert send("replay", "cascades", str(older)).exit_code == 0
    assert send("replay", "cascades", str(newer)).exit_code == 0
    assert send("replay", "cascades", str(newer)).exit_code == 1, "its end is there"
    future = event_at(time.time() + 1e6)
    asyncio.run(write(fresh_kafka, [*[None] * 3_000, b"no event", future]))
    before = asyncio.run(messages_on(fresh_kafka))
    refused = send("replay", "cascades", str(older))
    assert isinstance(refused.exception, TooLateError)
    for words in (
        "older begins at 2012-06-04T09:30:52",
        "social.events on",
        "up to 2016-06-01T01:43:14",
        "--rebase 1h --start 2016-06-01T01:43:15",
        "--force",
    ):
        assert words in str(refused.exception)
    assert asyncio.run(messages_on(fresh_kafka)) == before, "nothing was sent"
    assert send("replay", "requests", str(trace)).exit_code == 0, "another topic"
    moved = ["--rebase", "1h", "--start", "2016-06-01T01:43:15"]
    assert send("replay", "cascades", str(older), *moved).exit_code == 0
    assert send("replay", "cascades", str(older), "--force").exit_code == 0
    assert asyncio.run(messages_on(fresh_kafka)) == before + 2
    simulated = send("simulate", "--limit", "5", "--start", "2010-01-01", "--requests-rate", "0")
    assert isinstance(simulated.exception, TooLateError)
    assert "--start 2016-06-01T01:43:16" in str(simulated.exception)
    again = send(
        "simulate", "--limit", "5", "--start", "2010-01-01", "--requests-rate", "0", "--force"
    )
    assert again.exit_code == 0


def event_at(timestamp):
    return msgspec.json.encode(SocialEvent("f", "f:0", "u", timestamp, "post", None, None, None))


async def write(kafka, values):
    """Into every partition of the events."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    async with producer:
        for number in await producer.partitions_for(EVENTS):
            for value in values:
                await producer.send(EVENTS, value, key=b"k", partition=number)
        await producer.flush()


async def messages_on(kafka):
    async with AIOKafkaConsumer(EVENTS, bootstrap_servers=kafka) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        return sum(ends.values())


@pytest.mark.system
def test_an_interrupt_stops_it_cleanly(files, kafka):
    """One event goes at once; the next would be due in an hour."""
    before = asyncio.run(messages_on(kafka))
    program = "from stream.commands.traffic import replay_app; replay_app()"
    process = subprocess.Popen(
        [
            sys.executable, "-c", program,
            "cascades", files[0], "--kafka", kafka, "--speed", "0.001", "--force",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until_so(lambda: asyncio.run(messages_on(kafka)) > before, "the first event")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "stopped; sent 1 to social.events" in errors
    assert "Traceback" not in errors
    assert output == ""
