"""Files of recorded requests: what is read of a row, and which row is refused and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.data.datasets import RequestTrace
from models.data.requests import read_requests
from models.data.text import DataFormatError

ROWS = [("1", "x", "u", "10"), ("1.5", "y", "v", "7"), ("2", "x", "u", "10")]


def read(folder: Path, text: str) -> RequestTrace:
    path = folder / "r.csv"
    path.write_bytes(text.encode())
    return read_requests(path)


def test_requests_are_read(tmp_path: Path) -> None:
    trace = read(tmp_path, "timestamp,object_id,client_id\n1,x,u\n1.5,y,v\n2,x,u\n")
    assert trace.timestamps.tolist() == [1, 1.5, 2]
    assert [trace.object_ids[i] for i in trace.objects] == ["x", "y", "x"]
    assert [trace.client_ids[i] for i in trace.clients] == ["u", "v", "u"]
    bare = read(tmp_path, "timestamp,object_id\n1,x\n")
    assert bare.client_ids == [""]
    assert trace.sizes is None and bare.sizes is None


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,object_id,client_id,size",
        "\ufefftimestamp,object_id,client_id,size",
        "Timestamp,OBJECT_ID,Client_Id,Size",
        '"timestamp","object_id","client_id","size"',
        "timestamp, object_id, client_id, size ",
        'timestamp\t, "object_id",client_id,size\t',
        "\n  \ntimestamp,object_id,client_id,size",
    ],
)
@pytest.mark.parametrize("joint", [",", ", ", " ,\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n \t\n"])
def test_header_and_rows_may_be_written_as_files_have_them(
    tmp_path: Path, header: str, joint: str, end: str
) -> None:
    trace = read(tmp_path, end.join([header, *map(joint.join, ROWS)]))
    assert trace.timestamps.tolist() == [1, 1.5, 2]
    assert trace.object_ids == ["x", "y"] and trace.client_ids == ["u", "v"]
    assert trace.sizes is not None and trace.sizes.tolist() == [10, 7]


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    trace = read(tmp_path, "size,object_id,timestamp\n10,x,1\n7,y,2\n")
    assert trace.timestamps.tolist() == [1, 2] and trace.object_ids == ["x", "y"]
    assert trace.sizes is not None and trace.sizes.tolist() == [10, 7]
    assert trace.client_ids == [""]


def test_identifiers_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    trace = read(tmp_path, 'timestamp,object_id\n1,"a,b"\n2,"say ""a"""\n3,"a\nb"\n4,a b\u00a0c\n')
    assert trace.object_ids == ["a,b", 'say "a"', "a\nb", "a b\u00a0c"]


@pytest.mark.parametrize("clients", [True, False])
def test_sizes_of_objects_are_those_first_stated(tmp_path: Path, clients: bool) -> None:
    client = (",client_id", ",u") if clients else ("", "")
    rows = [f"{i},{name}{client[1]},{size}\n" for i, (name, size) in
            enumerate([("x", 10), ("y", 7), ("x", 12), ("z", 1)])]  # fmt: skip
    trace = read(tmp_path, f"timestamp,object_id{client[0]},size\n" + "".join(rows))
    assert trace.sizes is not None and trace.sizes.tolist() == [10, 7, 1]
    assert trace.object_ids == ["x", "y", "z"]
    assert trace.client_ids == (["u"] if clients else [""])


@pytest.mark.parametrize("unknown", ["0", "-", "", "0.0", ' ""'])
def test_a_size_that_is_not_known_is_that_of_another_request_or_none(
    tmp_path: Path, unknown: str
) -> None:
    head = "timestamp,object_id,size\n"
    trace = read(tmp_path, head + f"1,x,{unknown}\n2,y,{unknown}\n3,x,10\n4,x,{unknown}\n5,x,12\n")
    assert trace.sizes is not None and trace.sizes.tolist() == [10, 0]
    assert read(tmp_path, head + f"1,x,{unknown}\n").sizes is None


def test_sizes_may_be_written_as_numbers_with_a_point(tmp_path: Path) -> None:
    trace = read(tmp_path, "timestamp,object_id,size\n1,x,10.0\n2,y,1e6\n")
    assert trace.sizes is not None and trace.sizes.tolist() == [10, 1_000_000]


def test_clients_may_be_unknown(tmp_path: Path) -> None:
    trace = read(tmp_path, "timestamp,object_id,client_id\n1,x,u\n2,x,-\n3,x,\n")
    assert [trace.client_ids[i] for i in trace.clients] == ["u", "", ""]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: got the header ''"),
        ("time,object\n", "line 1: got the header 'time,object'; expected timestamp,object_id"),
        ("time,object\n", "docs/data.md"),
        ("timestamp,object_id,url\n", "line 1: got the header"),
        ("timestamp,object_id,size,Size\n", "line 1: got the header"),
        ("timestamp;object_id\n", "line 1: got the header 'timestamp;object_id'"),
        ("object_id,size\n", "line 1: got the header"),
        ("\n\n1,x\n", "line 3: got the header '1,x'"),
        ("timestamp,object_id,client_id\n1,x\n", "line 2: got 2 fields; expected 3"),
        ("timestamp,object_id\n\n1,x,9\n", "line 3: got 3 fields; expected 2"),
        ("timestamp,object_id\nx,x\n", "line 2: timestamp: got 'x'"),
        ("timestamp,object_id\n1,\n", "line 2: got no object_id"),
        ("timestamp,object_id\n2,x\n1,x\n", "line 3: timestamp 1 after 2.0"),
        ("timestamp,object_id\nnan,x\n", "line 2: timestamp: got 'nan'"),
        ("timestamp,object_id\n-1,x\n", "line 2: timestamp: got '-1'; expected unix seconds"),
        ("timestamp,object_id\n1700000000123,x\n", "line 2: timestamp: got '1700000000123'"),
        ("timestamp,object_id\n1700000000123,x\n", "looks like milliseconds (2023-11-14)"),
        ("timestamp,object_id\n1700000000123456,x\n", "looks like microseconds (2023-11-14)"),
        ("timestamp,object_id,size\n1,x,many\n", "line 2: size: got 'many'"),
        ("timestamp,object_id,size\n1,x,-5\n", "line 2: size: got '-5'; expected the object's"),
        ("timestamp,object_id,size\n1,x,1.5\n", "line 2: size: got '1.5'"),
        ("timestamp,object_id,size\n1,x,nan\n", "line 2: size: got 'nan'"),
        ("timestamp,object_id,size\n1,x,9223372036854775808\n", "line 2: size: got '92233720"),
        ('timestamp,object_id\n1,x\n2,"y\n3,z\n', "line 3: is not CSV"),
        ('timestamp,object_id\n1,"x"y\n', "line 2: is not CSV"),
    ],
)
def test_a_bad_request_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataFormatError) as caught:
        read(tmp_path, text)
    assert reason in str(caught.value)


@pytest.mark.data
def test_the_development_requests(data_dir: Path) -> None:
    trace = read_requests(data_dir / "requests" / "kuairand.csv.xz")
    assert (len(trace), len(trace.object_ids)) == (176_745, 2_561)
