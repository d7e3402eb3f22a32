"""One partition of the historian: messages in, messages out."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from stream.historian.role import EdgePartition
from stream.settings import Settings
from topics.catalogue import DEAD_LETTERS, EDGE_REQUESTS, EDGE_WINDOWS
from topics.records import EdgeRequest

SETTINGS = Settings(window=10.0, allowed_lateness=0.0, clock_skew=5.0, clock_witnesses=1)


def message(offset: int, value: bytes | EdgeRequest | None, timestamp: int) -> ConsumerRecord:
    if isinstance(value, EdgeRequest):
        value = EDGE_REQUESTS.codec.encode(value)
    size = len(value or b"")
    return ConsumerRecord(
        EDGE_REQUESTS.name, 2, offset, timestamp, 0, b"lyon", value, None, 4, size, ()
    )


def test_windows_carry_the_timestamp_of_the_message_that_closed_them() -> None:
    partition = EdgePartition(SETTINGS)
    outputs = partition.process(
        [
            message(0, EdgeRequest("lyon", "a", 1.0), 20_000),
            message(1, EdgeRequest("oslo", "a", 2.0), 20_001),
            message(2, EdgeRequest("lyon", "b", 12.0), 20_002),
            message(3, EdgeRequest("lyon", "b", 13.0), 20_003),
        ]
    )
    assert [(o.topic, o.key, o.timestamp_ms) for o in outputs] == [
        (EDGE_WINDOWS.name, b"lyon", 20_002),
        (EDGE_WINDOWS.name, b"oslo", 20_002),
    ]
    assert EDGE_WINDOWS.codec.decode(outputs[0].value).objects == ["a"]
    assert partition.counters == {
        "accepted": 4, "late": 0, "dropped": 0, "dead_letters": 0, "skipped": 0, "windows": 2,
    }  # fmt: skip


def test_bad_requests_become_dead_letters_and_harm_no_other() -> None:
    partition = EdgePartition(SETTINGS)
    bad = [
        message(1, b"{not json", 20_000),
        message(2, b'{"edge_id":"","object_id":"a","timestamp":1}', 20_000),
        message(3, b'{"edge_id":"lyon","object_id":"a","timestamp":-1}', 20_000),
        message(4, None, 20_000),
        message(5, EdgeRequest("lyon", "a", 26.0), 20_000),
    ]
    outputs = partition.process(
        [
            message(0, EdgeRequest("lyon", "a", 1.0), 20_000),
            *bad,
            message(6, EdgeRequest("lyon", "b", 2.0), 20_000),
            message(7, EdgeRequest("lyon", "c", 15.0), 20_000),
        ]
    )
    letters = [output for output in outputs if output.topic == DEAD_LETTERS.name]
    assert sorted((dict(o.headers)["offset"], o.value) for o in letters) == [
        (str(record.offset).encode(), record.value) for record in bad
    ]
    reasons = {dict(o.headers)["offset"]: dict(o.headers)["message"].decode() for o in letters}
    assert (
        "timestamp 26.0 is 6 s later than the message itself (20.0, by the sender's clock)"
        in reasons[b"5"]
    )
    assert "edge_id" in reasons[b"2"]
    (window,) = [o for o in outputs if o.topic == EDGE_WINDOWS.name]
    assert EDGE_WINDOWS.codec.decode(window.value).objects == ["a", "b"]
    assert partition.counters["accepted"] == 3
    assert partition.counters["dead_letters"] == 5


def test_a_batch_of_nothing_but_bad_requests() -> None:
    outputs = EdgePartition(SETTINGS).process([message(0, b"", 20_000)])
    assert [output.topic for output in outputs] == [DEAD_LETTERS.name]


def test_an_idle_partition_closes_with_the_timestamp_of_its_last_message() -> None:
    partition = EdgePartition(Settings(window=10.0, allowed_lateness=0.0, idle_advance=5.0))
    partition.process([message(0, EdgeRequest("lyon", "a", 1.0), 1_500)])
    (output,) = partition.idle(now=15.0)
    assert (output.topic, output.timestamp_ms) == (EDGE_WINDOWS.name, 1_500)
    assert partition.idle(now=99.0) == []


def test_a_log_as_it_is_gives_the_windows_that_its_requests_give() -> None:
    requests = [EdgeRequest("lyon", f"/{number % 3}", 1.0 + number, 612) for number in range(24)]
    lines = [
        f"192.0.2.7 - - [01/Jan/1970:00:00:{request.timestamp:02.0f} +0000] "
        f'"GET {request.object_id} HTTP/1.1" 200 612 "-" "-"'
        for request in requests
    ]
    lines[5:5] = ["no line of a log", lines[0].replace("GET", "POST")]
    plain, mapped = EdgePartition(SETTINGS), EdgePartition(
        SETTINGS.having(requests_format="nginx-combined?edge=lyon")
    )  # fmt: skip
    expected = plain.process([message(n, request, 20_000) for n, request in enumerate(requests)])
    outputs = mapped.process([message(n, line.encode(), 20_000) for n, line in enumerate(lines)])
    [letter] = [output for output in outputs if output.topic == DEAD_LETTERS.name]
    assert b"expected a line as nginx-combined has them" in dict(letter.headers)["message"]
    assert dict(letter.headers)["offset"] == b"5"
    windows = [output for output in outputs if output.topic == EDGE_WINDOWS.name]
    assert [o.value for o in windows] == [o.value for o in expected] != []
    assert mapped.counters == plain.counters | {"dead_letters": 1, "skipped": 1}
    # What was made of other records is not gone on with.
    assert mapped.depends_on["requests_format"].startswith("nginx-combined?edge=lyon ")
    assert "requests_format" not in plain.depends_on
