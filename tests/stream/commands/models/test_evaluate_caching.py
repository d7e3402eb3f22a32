"""`tidecast evaluate caching`: figures, table and picture, and errors that help."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from models.caches import classical
from models.judging.cache_policies import POLICIES, Policy
from stream.cli import app
from tests.models.traces import drifting

OWN = "lru,decayed,belady"
RESULT = {
    "policy": str, "size": float, "capacity": int, "hit_ratio": float, "byte_hit_ratio": float,
    "cost_hit_ratio": float, "hit_ratio_sd": float, "byte_hit_ratio_sd": float,
    "cost_hit_ratio_sd": float, "seconds": float, "seeds": list,
}  # fmt: skip
RANKER = {"ranker": str, "k": int, "map": float, "ndcg": float, "windows": int, "seconds": float}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """4,000 requests for 200 objects, three a minute."""
    path = tmp_path / "trace.csv"
    lines = [f"{20 * i},o{code},c{i % 9}\n" for i, code in enumerate(drifting(4_000, 200))]
    path.write_text("timestamp,object_id,client_id\n" + "".join(lines))
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", "caching", *map(str, words)])


def figures(path: Path, *words: object) -> dict[str, Any]:
    result = run(*words, "--json", path)
    assert result.exit_code == 0, (result.output, result.exception)
    content: dict[str, Any] = json.loads(path.read_text())
    return content | {"said": " ".join(result.output.split())}


def test_policies_are_replayed_measured_and_drawn(trace: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "found.json"
    found = figures(path, trace, "--sizes", "0.05,0.2", "--policies", OWN, "--top", "5,20")
    assert [(one["policy"], one["size"]) for one in found["results"]] == [
        (name, size) for name in OWN.split(",") for size in (0.05, 0.2)
    ]
    for one in found["results"]:
        for name, kind in RESULT.items():
            assert isinstance(one[name], kind), name
        assert 0 < one["hit_ratio"] < 1
        assert one["byte_hit_ratio"] == pytest.approx(one["hit_ratio"])
    by_policy = {(one["policy"], one["size"]): one["hit_ratio"] for one in found["results"]}
    assert by_policy["lru", 0.2] < by_policy["decayed", 0.2] < by_policy["belady", 0.2]
    assert [(one["ranker"], one["k"]) for one in found["rankers"]] == [
        (name, k) for name in ("decayed", "last-window", "total-count") for k in (5, 20)
    ]
    for one in found["rankers"]:
        for name, kind in RANKER.items():
            assert isinstance(one[name], kind), name
        assert 0 < one["map"] < 1 and 0 < one["ndcg"] < 1
    assert (found["requests"], found["objects"], found["unit"]) == (4_000, 200, "objects")
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    for words in ("the first 2,000 warm", "hit, 5 %", "NDCG@K", "Belady: hit ratio"):
        assert words in found["said"]


def test_the_warm_up_counts_no_hits(trace: Path, tmp_path: Path) -> None:
    words = (trace, "--sizes", "20", "--policies", "lru", "--warmup")
    [whole] = figures(tmp_path / "0.json", *words, 0)["results"]
    [half] = figures(tmp_path / "5.json", *words, 0.5)["results"]
    [late] = figures(tmp_path / "9.json", *words, 0.9)["results"]
    assert whole["capacity"] == 20
    assert len({one["hit_ratio"] for one in (whole, half, late)}) == 3


def test_object_sizes_are_drawn_or_read(trace: Path, tmp_path: Path) -> None:
    drawn = figures(
        tmp_path / "d.json", trace, "--policies", OWN, "--sizes", 0.1, "--object-sizes", "lognormal"
    )
    assert drawn["unit"] == "bytes" and "log-normal, median 32,768 bytes" in drawn["said"]
    assert "bytes hit, 10 %" in drawn["said"]
    assert all(one["hit_ratio"] != one["byte_hit_ratio"] for one in drawn["results"])
    rows = trace.read_text().splitlines()
    sized = tmp_path / "sized.csv"
    sizes = [str(1 + sum(map(ord, row)) % 50) for row in rows[1:]]
    body = [f"{row},{size}" for row, size in zip(rows[1:], sizes, strict=True)]
    sized.write_text("\n".join([rows[0] + ",size", *body]) + "\n")
    read = figures(tmp_path / "r.json", sized, "--policies", OWN, "--sizes", 0.1)
    assert (read["unit"], read["object_sizes"]) == ("bytes", "trace")
    units = figures(
        tmp_path / "u.json", sized, "--policies", OWN, "--sizes", 0.1, "--object-sizes", "unit"
    )
    plain = figures(tmp_path / "p.json", trace, "--policies", OWN, "--sizes", 0.1)
    timeless = [
        [{k: v for k, v in one.items() if k != "seconds"} for one in found["results"]]
        for found in (units, plain)
    ]
    assert timeless[0] == timeless[1]


def test_the_objective_is_what_policies_that_can_choose_go_for(trace: Path, tmp_path: Path) -> None:
    words = (trace, "--sizes", 0.1, "--policies", "lru,decayed", "--object-sizes", "lognormal")
    found = {}
    for objective in ("hits", "bytes", "cost"):
        path = tmp_path / f"{objective}.json"
        lru, found[objective] = figures(path, *words, "--objective", objective)["results"]
        found[objective] |= {"lru": lru["hit_ratio"]}
    assert len({one["lru"] for one in found.values()}) == 1, "LRU has no choice"
    for objective, ratio in (
        ("hits", "hit_ratio"), ("bytes", "byte_hit_ratio"), ("cost", "cost_hit_ratio"),
    ):  # fmt: skip
        best = max(found, key=lambda name, ratio=ratio: found[name][ratio])
        assert best == objective, ratio
    free = figures(tmp_path / "f.json", *words, "--objective", "cost", "--fetch-cost", 0)
    assert free["results"][1]["byte_hit_ratio"] == found["bytes"]["byte_hit_ratio"]
    assert "cost hit, 10 %" in free["said"]


def test_windows_too_long_to_measure_rankers_by(trace: Path, tmp_path: Path) -> None:
    words = (trace, "--policies", "decayed", "--sizes", 0.1, "--window")
    assert figures(tmp_path / "a.json", *words, "7d")["rankers"] == []
    found = figures(tmp_path / "b.json", *words, "1h")
    assert found["window"] == 3_600 and found["rankers"][0]["windows"] == 11


def test_without_libcachesim_the_rest_runs_and_the_message_helps(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libcachesim", None)
    found = figures(tmp_path / "found.json", trace, "--sizes", "0.1", "--warmup", "0.5")
    assert set(found["left_out"]) == {"lfu", "s3fifo", "sieve", "wtinylfu", "lrb"}
    assert {one["policy"] for one in found["results"]} == set(POLICIES) - set(found["left_out"])
    assert "left out: lfu, s3fifo, sieve, wtinylfu, lrb." in found["said"]
    assert "pip install 'tidecast[bench]'" in found["said"]
    result = run(trace, "--policies", "lru,sieve")
    assert result.exit_code == 1
    assert "pip install 'tidecast[bench]'" in str(result.exception)


def test_ready_policies_are_measured_by_default(trace: Path, tmp_path: Path) -> None:
    """All of them but those of which the registry holds no model, which is said."""
    found = figures(tmp_path / "found.json", trace, "--pretrained", "--sizes", "0.1")
    assert "transformer" in found["left_out"] and "cachemamba" not in found["left_out"]
    assert "left out: transformer. got model 'transformer'" in found["said"]
    measured = {one["policy"] for one in found["results"]}
    assert measured | set(found["left_out"]) | {"lrb"} >= set(POLICIES)
    assert "cachemamba" in measured
    assert all(one["train_seconds"] is None for one in found["results"])


def test_who_learns_is_left_out_where_there_is_nothing_to_learn_from(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libcachesim", None)
    found = figures(tmp_path / "found.json", trace, "--warmup", "0", "--sizes", "0.1")
    assert {"cachemamba", "transformer"} <= set(found["left_out"])
    left = [
        name
        for name, policy in POLICIES.items()
        if isinstance(policy, Policy) and name not in classical.CACHES
    ]
    assert [one["policy"] for one in found["results"]] == left


def test_with_libcachesim_all_policies_run(trace: Path, tmp_path: Path) -> None:
    pytest.importorskip(
        "libcachesim", reason="libcachesim is not installed (the extra `bench`)",
        exc_type=ImportError,
    )  # fmt: skip
    found = figures(tmp_path / "found.json", trace, "--sizes", "0.02,0.1", "--policies",
                    "lru,lfu,s3fifo,sieve,wtinylfu,lrb")  # fmt: skip
    large = {one["policy"]: one["hit_ratio"] for one in found["results"] if one["size"] == 0.1}
    assert len(large) == 6 and all(0 < ratio < 1 for ratio in large.values())
    assert found["left_out"] == {}
    assert len(found["skipped"]) == 2, "a cache of 4 objects has no room for two of them"
    assert "wtinylfu: got a capacity of 4 objects" in found["said"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--sizes", "0,0.1"], "--sizes: got 0,0.1; expected numbers above 0"),
        (["--sizes", "many"], "expected numbers joined by commas"),
        (["--top", "0.5"], "expected numbers joined by commas"),
        (["--warmup", "1"], "expected a share below 1"),
        (["--window", "0"], "expected a duration above 0"),
        (["--registry", "models"], "add that"),
        (["--objective", "fame"], "'fame' is not one of"),
    ],
)
def test_options_that_cannot_be(trace: Path, words: list[str], reason: str) -> None:
    result = run(trace, *words)
    assert result.exit_code == 2
    assert reason in " ".join(result.output.replace("│", " ").split())


def test_what_cannot_be_read_or_is_unknown(trace: Path, tmp_path: Path) -> None:
    # The terminal's lines break where the path's length has them break.
    assert "no such file" in " ".join(re.sub("[│╭╮╰╯]", " ", run(tmp_path / "no").output).split())
    assert "got 'mru'; expected some of lru" in str(run(trace, "--policies", "mru").exception)
    empty = tmp_path / "empty.csv"
    empty.write_text("timestamp,object_id\n")
    assert "without requests" in str(run(empty, "--policies", "lru").exception)
    sizes = run(trace, "--policies", "lru", "--object-sizes", "trace")
    assert "without a column `size`" in str(sizes.exception)


def test_sizes_reach_the_picture_as_shares_and_as_numbers(trace: Path, tmp_path: Path) -> None:
    found = figures(tmp_path / "f.json", trace, "--policies", "lru", "--sizes", "0.1,50")
    assert [one["capacity"] for one in found["results"]] == [20, 50]
    assert np.all(np.diff([one["hit_ratio"] for one in found["results"]]) > 0)
    assert "hit, 10 %" in found["said"] and "hit, 50" in found["said"]
