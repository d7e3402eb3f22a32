"""The edges of a partition: saved, restored, and bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream.checkpoints.content import decode, encode
from stream.ranker.edges import RankedPartition
from stream.serving.rankers import decayed
from tests.stream.ranker.test_batch import SETTINGS, Log, neural, window


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


@pytest.mark.parametrize("kind", ["decayed", "cachemamba"])
def test_restored_at_any_cut_it_answers_as_if_nothing_had_happened(log: Log, kind: str) -> None:
    make = neural(0) if kind == "cachemamba" else decayed(SETTINGS)
    steady, partition = RankedPartition(SETTINGS, make), RankedPartition(SETTINGS, make)
    for number, one in enumerate(log.windows()):
        if number % 5 == 0:
            saved = b"".join(encode(partition.save(), {}))
            partition = RankedPartition(SETTINGS, make)
            partition.restore(decode(saved).arrays)
        assert partition.step(one, 0.0) == steady.step(one, 0.0)
    assert list(partition.edges) == list(steady.edges)


def test_what_is_saved_stays_as_it_was(log: Log) -> None:
    partition = RankedPartition(SETTINGS, neural(0))
    for one in log.windows()[:20]:
        partition.step(one, 0.0)
    saved = partition.save()
    before = b"".join(encode(saved, {}))
    for one in log.windows()[20:]:
        partition.step(one, 0.0)
    assert b"".join(encode(saved, {})) == before


def test_the_edge_silent_longest_makes_room() -> None:
    log = Log()
    worker = log.worker(replace(SETTINGS, max_edges=2))
    for message in log.messages[1]:
        worker([message])
    for name in ("oslo", "kiel"):
        log.append(1, window(name, 40, ["a"]))
    worker(log.messages[1][-2:])
    assert list(worker._held._partitions[1].edges) == ["oslo", "kiel"]
