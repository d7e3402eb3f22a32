"""Readers of cascade and request files, snapshots and labels, against their obvious definitions."""

import gzip
import itertools
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.datasets import (
    ROOT,
    UNKNOWN_PARENT,
    Cascade,
    DataFormatError,
    increment,
    read_cascades,
    read_requests,
    snapshot_at,
    split_chronologically,
)
from models.evaluation import coverage, mape, msle
from topics.hashing import hash_users
from topics.records import BIN_EDGES

LINE = "c1\tann\t1000\t5\tann:0 ann/bob:5 ann/bob/cy:7.5 ann/bob:9 ann/zed/dan:12\n"


def write(path: Path, text: str) -> Path:
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.xz", "a.txt.gz"])
def test_a_cascade_is_read_from_plain_and_compressed_files(tmp_path: Path, name: str) -> None:
    [cascade] = read_cascades(write(tmp_path / name, LINE + "\n"))
    assert (cascade.cascade_id, cascade.root_user, cascade.published_at) == ("c1", "ann", 1000.0)
    assert cascade.users == ["ann", "bob", "cy", "bob", "dan"]
    assert cascade.parents.tolist() == [ROOT, 0, 1, 0, UNKNOWN_PARENT]
    assert cascade.delays.tolist() == [0, 5, 7.5, 9, 12]
    assert cascade.depths.tolist() == [0, 1, 2, 1, 1]


def test_events_are_put_in_order_and_parents_are_the_first_event_before(tmp_path: Path) -> None:
    line = "c\ta\t0\t4\ta:0 a/b/c:9 a/b:4 a/b:2\n"
    [cascade] = read_cascades(write(tmp_path / "a.txt", line))
    assert cascade.users == ["a", "b", "b", "c"]
    assert cascade.parents.tolist() == [ROOT, 0, 0, 1]


def test_n_events_may_leave_the_root_out(tmp_path: Path) -> None:
    [cascade] = read_cascades(write(tmp_path / "a.txt", LINE.replace("\t5\t", "\t4\t")))
    assert len(cascade) == 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("c\ta\t0\t1", "4 tab-separated fields"),
        ("c\ta\tnoon\t1\ta:0", "noon"),
        ("c\ta\tnan\t1\ta:0", "finite"),
        ("c\ta\t0\t2\ta:0 a/b:x", "'x'"),
        ("c\ta\t0\t2\ta:0 a/b:-1", "not negative"),
        ("c\ta\t0\t9\ta:0 a/b:1", "got 2 events where n_events says 9"),
        ("c\ta\t0\t1\tb:0", "must be the root, a:0"),
        ("c\ta\t0\t1\ta:3", "must be the root, a:0"),
        ("c\ta\t0\t0\t", "must be the root"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path / "bad.txt", LINE + line + "\n")
    with pytest.raises(DataFormatError, match=r"bad\.txt, line 2: ") as caught:
        list(read_cascades(path))
    assert reason in str(caught.value)


def test_a_cut_archive_and_bad_bytes_are_format_errors(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.txt.xz", LINE * 50_000).read_bytes()
    cut = tmp_path / "cut.txt.xz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFormatError, match=r"cut\.txt\.xz, line \d+: cannot be read"):
        list(read_cascades(cut))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(DataFormatError, match="line 1: cannot be read"):
        list(read_cascades(tmp_path / "bytes.txt"))


def test_requests_are_read(tmp_path: Path) -> None:
    text = "timestamp,object_id,client_id\n1,x,u\n1.5,y,v\n2,x,u\n"
    trace = read_requests(write(tmp_path / "r.csv.gz", text))
    assert trace.timestamps.tolist() == [1, 1.5, 2]
    assert [trace.object_ids[i] for i in trace.objects] == ["x", "y", "x"]
    assert [trace.client_ids[i] for i in trace.clients] == ["u", "v", "u"]
    bare = read_requests(write(tmp_path / "bare.csv", "timestamp,object_id\n1,x\n"))
    assert bare.client_ids == [""]
    assert trace.sizes is None and bare.sizes is None


@pytest.mark.parametrize("clients", [True, False])
def test_sizes_of_objects_are_those_first_stated(tmp_path: Path, clients: bool) -> None:
    client = (",client_id", ",u") if clients else ("", "")
    rows = [f"{i},{name}{client[1]},{size}\n" for i, (name, size) in
            enumerate([("x", 10), ("y", 7), ("x", 12), ("z", 1)])]  # fmt: skip
    text = f"timestamp,object_id{client[0]},size\n" + "".join(rows)
    trace = read_requests(write(tmp_path / "r.csv", text))
    assert trace.sizes is not None and trace.sizes.tolist() == [10, 7, 1]
    assert trace.object_ids == ["x", "y", "z"]
    assert trace.client_ids == (["u"] if clients else [""])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("time,object\n", "line 1: got the header 'time,object'"),
        ("timestamp,object_id,client_id\n1,x\n", "line 2: got 2 fields; expected 3"),
        ("timestamp,object_id\nx,x\n", "line 2: timestamp"),
        ("timestamp,object_id\n2,x\n1,x\n", "line 3: timestamp 1 after 2.0"),
        ("timestamp,object_id\nnan,x\n", "line 2: timestamp nan"),
        ("timestamp,object_id,size\n1,x,0\n", "line 2: size: got '0'; expected the object's"),
        ("timestamp,object_id,size\n1,x,many\n", "line 2: size: got 'many'"),
        ("timestamp,size,object_id\n", "line 1: got the header 'timestamp,size,object_id'"),
    ],
)
def test_a_bad_request_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataFormatError) as caught:
        read_requests(write(tmp_path / "r.csv", text))
    assert reason in str(caught.value)


def cascade_of(delays: list[float]) -> Cascade:
    users = [str(index) for index in range(len(delays))]
    parents = np.array([ROOT] + [0] * (len(delays) - 1), np.int32)
    return Cascade("c", "0", 1e9, users, parents, np.array(delays))


@given(
    st.lists(st.floats(0, 3e7), max_size=40).map(lambda later: [0.0, *sorted(later)]),
    st.floats(0, 4e7),
    st.integers(1, 10),
)
def test_a_snapshot_holds_what_was_observed(
    delays: list[float], age: float, max_events: int
) -> None:
    cascade = cascade_of(delays)
    snapshot = snapshot_at(cascade, age, max_events)
    observed = [delay for delay in delays if delay <= age]
    kept, rest = observed[:max_events], observed[max_events:]
    assert snapshot.observed_count == len(observed)
    assert snapshot.delays().tolist() == np.float32(kept).tolist()
    assert snapshot.users().tolist() == hash_users(cascade.users[: len(kept)]).tolist()
    bounds = [-np.inf, *BIN_EDGES, np.inf]
    expected = [
        sum(low < delay <= high for delay in rest) for low, high in itertools.pairwise(bounds)
    ]
    assert snapshot.rest_counts().tolist() == (expected if rest else [])


@given(st.floats(0, 100), st.floats(0, 100))
def test_the_label_counts_what_comes_after_the_observation(observed: float, horizon: float) -> None:
    delays = [0.0, 1, 1, 5, 20, 20, 50, 99]
    expected = sum(observed < delay <= horizon for delay in delays)
    assert increment(cascade_of(delays), observed, horizon) == expected


def test_the_split_is_in_order_of_publication() -> None:
    cascades = [
        Cascade(str(i), "a", float(time), ["a"], np.array([ROOT], np.int32), np.zeros(1))
        for i, time in enumerate(np.random.default_rng(0).permutation(100))
    ]
    split = split_chronologically(cascades)
    assert [len(part) for part in split] == [70, 15, 15]
    times = [cascade.published_at for part in split for cascade in part]
    assert times == sorted(times)


def test_metrics_on_figures_worked_by_hand() -> None:
    assert msle([3, 0], [1, 0]) == pytest.approx(0.5)
    assert mape([6, 2], [2, 2]) == pytest.approx(0.25)
    assert coverage([0, 0], [5, 5], [5, 6]) == 0.5


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "cascades", "events"),
    [("weibo_ced", 2_709, 995_806), ("twitter1516", 1_711, 655_121)],
)
def test_the_development_cascades(data_dir: Path, name: str, cascades: int, events: int) -> None:
    read = list(read_cascades(data_dir / "cascades" / f"{name}.txt.xz"))
    assert len(read) == cascades
    assert sum(map(len, read)) == events
    assert all(cascade.parents[0] == ROOT for cascade in read)


@pytest.mark.data
def test_the_development_requests(data_dir: Path) -> None:
    trace = read_requests(data_dir / "requests" / "kuairand.csv.xz")
    assert (len(trace), len(trace.object_ids)) == (176_745, 2_561)
