"""docs/data.md: each conversion, run on a small recording in the format that it is for."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from models.data.requests import read_requests

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text()

CLOUDFRONT = """\
#Version: 1.0
#Fields: date time x-edge-location sc-bytes c-ip cs-method cs-uri-stem sc-status cs-uri-query \
sc-content-len
2024-03-01\t10:00:02\tFRA1\t900\t1.2.3.4\tGET\t/b.css\t200\tv=1\t500
2024-03-01\t10:00:01\tFRA1\t1400\t1.2.3.4\tGET\t/a,b.js\t200\t-\t1000
2024-03-01\t10:00:03\tFRA1\t300\t5.6.7.8\tHEAD\t/a,b.js\t200\t-\t-
2024-03-01\t10:00:04\tFRA1\t300\t5.6.7.8\tPOST\t/form\t200\t-\t20
2024-03-01\t10:00:05\tFRA1\t300\t5.6.7.8\tGET\t/none\t404\t-\t20
"""
SQUID = """\
1709287202.500    120 10.0.0.7 TCP_MISS/200 5300 GET http://a.example/x,y.js - HIER_DIRECT/1.1.1.1 -
1709287201.250     20 10.0.0.8 TCP_MEM_HIT/304 310 GET http://a.example/z - HIER_NONE/- -
1709287203.000     20 10.0.0.8 TCP_TUNNEL/200 310 CONNECT a.example:443 - HIER_NONE/- -
1709287204.000     20 10.0.0.8 TCP_MISS/503 310 GET http://a.example/z - HIER_NONE/- -
"""
COMBINED = """\
10.0.0.7 - - [01/Mar/2024:11:00:02 +0100] "GET /x HTTP/1.1" 200 5300 "-" "agent 1"
10.0.0.8 - ann [01/Mar/2024:10:00:01 +0000] "GET /y HTTP/1.1" 304 -
10.0.0.9 - - [01/Mar/2024:10:00:03 +0000] "HEAD /x HTTP/2.0" 200 0 "-" "agent"
10.0.0.9 - - [01/Mar/2024:10:00:04 +0000] "POST /x HTTP/2.0" 200 10 "-" "agent"
10.0.0.9 - - [01/Mar/2024:10:00:04 +0000] "GET /gone HTTP/2.0" 404 10 "-" "agent"
\x16\x03\x01 - - garbage
"""
WIKIPEDIA = "relative_unix\thashed_path_query\timage_type\tresponse_size\ttime_firstbyte\n"
TWITTER = """\
0,nz:u:eeW,8,100,7,get,0
0,nz:u:set,8,100,7,set,3600
1,"q",9,0,8,gets,0
2,a,b,3,40,8,get,0
"""
# What a conversion reads, and the requests that come of it: time, object, client, size of object.
CASES: dict[str, tuple[dict[str, bytes], list[tuple[float, str, str, int]]]] = {
    "unsorted.csv": (
        {"unsorted.csv": b"timestamp,object_id\n10,b\n9.5,a\n1e1,c\n"},
        [(9.5, "a", "", 0), (10, "b", "", 0), (10, "c", "", 0)],
    ),
    "milliseconds.csv": (
        {"milliseconds.csv": b"timestamp,object_id\n1700000000123,a\n1700000001000,b\n"},
        [(1700000000.123, "a", "", 0), (1700000001, "b", "", 0)],
    ),
    "cache-u": (
        {
            "cache-u-00.gz": gzip.compress((WIKIPEDIA + "0\t-77\tjpeg\t900\t0.1\n").encode()),
            "cache-u-01.gz": gzip.compress((WIKIPEDIA + "86400\t12\tpng\t80\t0.1\n").encode()),
        },
        [(0, "-77", "", 900), (86400, "12", "", 80)],
    ),
    "trace.tr": ({"trace.tr": b"1 7 120\n2 9 64\n"}, [(1, "7", "", 120), (2, "9", "", 64)]),
    "cluster.csv": (
        {"cluster.csv": TWITTER.encode()},
        [(0, "nz:u:eeW", "7", 100), (1, '"q"', "8", 0), (2, "a,b", "8", 40)],
    ),
    "cloudfront": (
        {"E1.cloudfront.gz": gzip.compress(CLOUDFRONT.encode())},
        [
            (1709287201, "/a,b.js", "1.2.3.4", 1000),
            (1709287202, "/b.css?v=1", "1.2.3.4", 500),
            (1709287203, "/a,b.js", "5.6.7.8", 1000),
        ],
    ),
    "$6 ~": (
        {"access.log": SQUID.encode()},
        [
            (1709287201.25, "http://a.example/z", "10.0.0.8", 0),
            (1709287202.5, "http://a.example/x,y.js", "10.0.0.7", 5300),
        ],
    ),
    "line_of_log": (
        {"access.log": COMBINED.encode()},
        [
            (1709287201, "/y", "10.0.0.8", 0),
            (1709287202, "/x", "10.0.0.7", 5300),
            (1709287203, "/x", "10.0.0.9", 5300),
        ],
    ),
}
BLOCKS = [
    block
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    if "requests.csv" in block
]


def test_every_conversion_is_tried_here() -> None:
    found = [[mark for mark in CASES if mark in block] for block in BLOCKS]
    assert [len(marks) for marks in found] == [1] * len(CASES)


@pytest.mark.parametrize("mark", CASES)
def test_a_conversion_gives_what_can_be_read(tmp_path: Path, mark: str) -> None:
    files, expected = CASES[mark]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    [block] = [block for block in BLOCKS if mark in block]
    ran = subprocess.run(["bash", "-ec", block], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr
    trace = read_requests(tmp_path / "requests.csv")
    sizes = [0] * len(trace.object_ids) if trace.sizes is None else trace.sizes.tolist()
    found = [
        (when, trace.object_ids[item], trace.client_ids[client], sizes[item])
        for when, item, client in zip(trace.timestamps, trace.objects, trace.clients, strict=True)
    ]
    assert found == expected
