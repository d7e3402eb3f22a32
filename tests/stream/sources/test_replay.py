"""Recorded files as messages: order, identifiers, rebasing, and files that are refused."""

import gzip
import lzma
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.cascades import read_cascades
from models.data.requests import read_requests
from models.data.text import DataFormatError
from stream.sources.messages import BATCH, EVENTS, REQUESTS, Limited, SourceError
from stream.sources.replay import (
    REBASE_START,
    CascadeReplay,
    RequestReplay,
    content_of,
    rebase,
    stem,
)
from topics.catalogue import EDGE_REQUESTS, SOCIAL_EVENTS
from topics.hashing import hash_ids

CASCADES = (
    "a-7\tu1\t100\t4\tu1:0 u1/u2:5 u1/u2/u3:5 u1/u9/u4:30\n"
    "b\tu5\t103\t2\tu5:0 u5/u1:2\n"
)  # fmt: skip
OTHERS = "a-7\tu1\t104\t3\tu1:0 u1/u8:1 u1/u6:1\n"
TRACE = "timestamp,object_id,client_id\n10,7,c1\n11,8,c2\n11,7,c1\n"


def write(folder, name, text):
    path = folder / name
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    with opener(path, "wt") as file:
        file.write(text)
    return path


def flat(source):
    return [message for batch in source for message in batch]


def events_of(source):
    return [SOCIAL_EVENTS.codec.decode(message.value) for message in flat(source)]


def test_events_of_all_files_come_in_order_of_time(tmp_path):
    source = CascadeReplay(
        [write(tmp_path, "one.txt", CASCADES), write(tmp_path, "two.txt.xz", OTHERS)]
    )
    assert source.name == "one, two"
    assert source.total == 9
    events = events_of(source)
    # At 105 five events meet: files, then cascades, then events in their order.
    assert [event.event_id for event in events] == [
        "one/a-7:0", "one/b:0", "two/a-7:0",
        "one/a-7:1", "one/a-7:2", "one/b:1", "two/a-7:1", "two/a-7:2",
        "one/a-7:3",
    ]  # fmt: skip
    assert [event.timestamp for event in events] == [100, 103, 104, *[105] * 5, 130]
    for message, event in zip(flat(source), events, strict=True):
        assert message.topic == EVENTS
        assert message.key == event.cascade_id.encode()
        assert message.timestamp == event.timestamp


def test_events_carry_parents_users_and_content(tmp_path):
    source = CascadeReplay([write(tmp_path, "one.txt.gz", CASCADES)], kind="reply")
    events = {event.event_id: event for event in events_of(source)}
    root = events["one/a-7:0"]
    assert (root.kind, root.parent_id, root.parent_user_id) == ("post", None, None)
    assert (root.user_id, root.content_id) == ("one/u1", "one/7")
    deep = events["one/a-7:2"]
    assert (deep.kind, deep.parent_id, deep.parent_user_id) == ("reply", "one/a-7:1", "one/u2")
    orphan = events["one/a-7:3"]  # u9 never shared
    assert (orphan.parent_id, orphan.parent_user_id) == (None, None)
    assert events["one/b:1"].content_id is None


@pytest.mark.parametrize(
    ("identifier", "content"),
    [("0-10", "10"), ("2547-6tsQ7d-13", None), ("80080", None), ("-5", None), ("5-", None)],
)
def test_the_content_is_the_part_after_a_single_dash(identifier, content):
    assert content_of(identifier) == content


def test_batches_are_full_but_the_last_and_iterating_starts_again(tmp_path):
    events = " ".join(["r:0", *(f"r/u{n}:{n}" for n in range(1, 2_500))])
    source = CascadeReplay([write(tmp_path, "big.txt", f"c\tr\t5\t2500\t{events}\n")])
    assert [len(batch) for batch in source] == [BATCH, BATCH, 500]
    assert flat(source) == flat(source)
    assert flat(Limited(source, 1_200)) == flat(source)[:1_200]
    assert Limited(source, 1_200).total == 1_200
    assert Limited(source, 9_999).total == 2_500
    assert flat(Limited(source, 0)) == []


@given(
    st.lists(st.floats(0, 2e9), min_size=1, max_size=50),
    st.floats(0, 2e9),
    st.floats(0, 1e6),
)
def test_rebased_publish_times_lie_in_the_window_in_the_same_order(published, start, length):
    published = np.array(published)
    times = rebase(published, start, length)
    assert (times >= start).all()
    assert (times <= start + length).all()
    order = np.argsort(published, kind="stable")
    assert (np.diff(times[order]) >= 0).all()
    assert np.allclose(
        np.sort(times) - start, length * np.arange(times.size) / times.size, atol=1e-5
    )


def test_rebasing_keeps_delays(tmp_path):
    file = write(tmp_path, "one.txt", CASCADES)
    plain, moved = events_of(CascadeReplay([file])), events_of(CascadeReplay([file], window=3600))
    roots = {event.cascade_id: event.timestamp for event in moved if event.kind == "post"}
    assert roots == {"one/a-7": REBASE_START, "one/b": REBASE_START + 1800}
    published = {"one/a-7": 100, "one/b": 103}
    delays = {event.event_id: event.timestamp - published[event.cascade_id] for event in plain}
    assert delays == {event.event_id: event.timestamp - roots[event.cascade_id] for event in moved}


def test_requests_go_to_the_edge_of_their_client(tmp_path):
    source = RequestReplay(write(tmp_path, "kuairand.csv.xz", TRACE), edges=3)
    assert (source.name, source.total) == ("kuairand", 3)
    messages = flat(source)
    requests = [EDGE_REQUESTS.codec.decode(message.value) for message in messages]
    assert [request.timestamp for request in requests] == [10, 11, 11]
    assert [request.object_id for request in requests] == [
        "kuairand/7", "kuairand/8", "kuairand/7",
    ]  # fmt: skip
    for message, request in zip(messages, requests, strict=True):
        edge = hash_ids([request.client_id])[0] % np.uint64(3)
        assert message.topic == REQUESTS
        assert request.edge_id == f"edge-{edge}"
        assert message.key == request.edge_id.encode()


def test_requests_without_clients_go_to_the_edges_in_turn(tmp_path):
    text = "timestamp,object_id\n" + "".join(f"{second},x\n" for second in range(6))
    requests = [
        EDGE_REQUESTS.codec.decode(message.value)
        for message in flat(RequestReplay(write(tmp_path, "r.csv", text), edges=2, start=500))
    ]
    assert [request.edge_id for request in requests] == ["edge-0", "edge-1"] * 3
    assert [request.timestamp for request in requests] == [500, 501, 502, 503, 504, 505]
    assert requests[0].client_id is None
    assert requests[0].size is None


def test_requests_say_how_large_the_object_is_where_the_trace_does(tmp_path):
    text = "timestamp,object_id,size\n1,x,10\n2,y,20\n3,x,10\n"
    messages = flat(RequestReplay(write(tmp_path, "r.csv", text)))
    sizes = [EDGE_REQUESTS.codec.decode(message.value).size for message in messages]
    assert sizes == [10, 20, 10]


def test_what_is_not_known_of_a_request_is_not_said(tmp_path):
    text = "timestamp,object_id,client_id,size\n" + "1,x,-,0\n2,y,c,-\n3,x,,7\n4,z,-,\n5,z,-,\n"
    messages = flat(RequestReplay(write(tmp_path, "r.csv", text), edges=2))
    requests = [EDGE_REQUESTS.codec.decode(message.value) for message in messages]
    assert [request.size for request in requests] == [7, None, 7, None, None]
    assert [request.client_id for request in requests] == [None, "r/c", None, None, None]
    edge = int(hash_ids(["r/c"])[0] % np.uint64(2))
    assert [request.edge_id for request in requests] == [
        f"edge-{number}" for number in (0, edge, 0, 1, 0)
    ]


def test_an_object_may_have_the_length_that_its_record_allows(tmp_path):
    head = "timestamp,object_id\n"
    longest = "x" * (2_048 - len("r/"))
    [message] = flat(RequestReplay(write(tmp_path, "r.csv", f"{head}1,{longest}\n")))
    assert EDGE_REQUESTS.codec.decode(message.value).object_id == f"r/{longest}"
    with pytest.raises(SourceError, match="at most 2048"):
        RequestReplay(write(tmp_path, "r.csv", f"{head}1,{longest}x\n"))


def test_a_source_says_when_it_begins(tmp_path):
    file = write(tmp_path, "one.txt", CASCADES)
    assert CascadeReplay([file]).begins == {EVENTS: 100}
    assert Limited(CascadeReplay([file], window=10, start=500), 2).begins == {EVENTS: 500}
    trace = write(tmp_path, "r.csv", TRACE)
    assert RequestReplay(trace).begins == {REQUESTS: 10}
    assert RequestReplay(trace, start=77).begins == {REQUESTS: 77}


def test_what_cannot_be_replayed_is_refused(tmp_path):
    one = write(tmp_path, "one.txt", CASCADES)
    with pytest.raises(SourceError, match="kind"):
        CascadeReplay([one], kind="post")
    with pytest.raises(SourceError, match="window"):
        CascadeReplay([one], window=-1)
    with pytest.raises(SourceError, match="two files are named one"):
        CascadeReplay([one, write(tmp_path, "one.txt.gz", CASCADES)])
    with pytest.raises(SourceError, match="no file"):
        CascadeReplay([])
    with pytest.raises(DataFormatError, match=r"line 2: cascade .* is there twice"):
        CascadeReplay([write(tmp_path, "double.txt", OTHERS * 2)])
    with pytest.raises(SourceError, match="no cascade"):
        CascadeReplay([write(tmp_path, "empty.txt", "")])
    with pytest.raises(SourceError, match="at most 245"):
        CascadeReplay([write(tmp_path, "long.txt", f"{'x' * 300}\tu\t1\t1\tu:0\n")])
    with pytest.raises(SourceError, match=r"with this start events lie at .* Choose another start"):
        CascadeReplay([one], window=10, start=4.2e9)
    with pytest.raises(DataFormatError, match="line 1"):
        CascadeReplay([write(tmp_path, "broken.txt", "what\n")])
    with pytest.raises(SourceError, match="edges"):
        RequestReplay(write(tmp_path, "r.csv", TRACE), edges=0)
    with pytest.raises(SourceError, match="no request"):
        RequestReplay(write(tmp_path, "none.csv", "timestamp,object_id\n"))
    with pytest.raises(FileNotFoundError):
        RequestReplay(tmp_path / "missing.csv")


@pytest.mark.data
def test_the_development_data_replays_whole(data_dir):
    """Every event once, in order of time and of its cascade, with the parent it has in the file."""
    files = [data_dir / "cascades" / f"{name}.txt.xz" for name in ("twitter_urls_2010", "kuairand")]
    source = CascadeReplay(files)
    cascades = {
        f"{stem(file)}/{cascade.cascade_id}": cascade
        for file in files
        for cascade in read_cascades(file)
    }
    latest = -np.inf
    reached = Counter()
    for event in events_of(source):
        assert event.timestamp >= latest
        latest = event.timestamp
        cascade, place = cascades[event.cascade_id], reached[event.cascade_id]
        reached[event.cascade_id] += 1
        assert event.event_id == f"{event.cascade_id}:{place}"
        assert event.timestamp == cascade.published_at + cascade.delays[place]
        assert event.user_id.endswith(f"/{cascade.users[place]}")
        if place:
            assert event.parent_id == f"{event.cascade_id}:{cascade.parents[place]}"
    assert reached == {name: len(cascade) for name, cascade in cascades.items()}
    assert source.total == reached.total()


@pytest.mark.data
def test_recorded_requests_and_cascades_share_their_contents(data_dir):
    requests = RequestReplay(data_dir / "requests" / "kuairand.csv.xz")
    objects = set()
    clients = defaultdict(set)
    for message in flat(requests):
        request = EDGE_REQUESTS.codec.decode(message.value)
        objects.add(request.object_id)
        clients[request.client_id].add(request.edge_id)
    assert requests.total == len(read_requests(data_dir / "requests" / "kuairand.csv.xz"))
    assert all(len(edges) == 1 for edges in clients.values())
    contents = {
        event.content_id
        for event in events_of(CascadeReplay([data_dir / "cascades" / "kuairand.txt.xz"]))
    }
    assert len(contents & objects) > 0.95 * len(contents)
