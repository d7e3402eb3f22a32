"""A worker answers from any place in the log as one that has read all of it."""

from __future__ import annotations

from itertools import chain

import pytest

from stream.ranker.batch import RankBatch
from tests.stream.ranker.test_batch import Log, content, neural


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


@pytest.mark.parametrize("kind", ["decayed", "cachemamba"])
def test_a_worker_that_starts_anywhere_goes_on_as_if_it_had_always_been_there(
    log: Log, kind: str
) -> None:
    def worker() -> RankBatch:
        return log.worker(make=neural(0) if kind == "cachemamba" else None)

    messages = log.messages[0]
    steady = worker()
    expected = [content(steady([message])) for message in messages]
    for start in range(0, len(messages), 7):
        assert content(worker()(messages[start:])) == list(chain(*expected[start:]))


def test_a_batch_that_is_read_again_is_answered_again(log: Log) -> None:
    messages = log.messages[1]
    worker = log.worker()
    worker(messages[:10])
    first = content(worker(messages[10:20]))
    assert content(worker(messages[10:20])) == first != []
    # Another worker had the partition for a while.
    assert content(worker(messages[30:35])) == content(log.worker()(messages[30:35]))


def test_a_version_that_was_loaded_takes_over_as_if_it_had_always_ranked(log: Log) -> None:
    messages = log.messages[0]
    served = neural(0)
    worker = log.worker_by(lambda: served)
    worker(messages[:20])
    served = neural(1)
    assert content(worker(messages[20:])) == content(log.worker(make=neural(1))(messages[20:]))


def test_partitions_are_forgotten_with_their_assignment(log: Log) -> None:
    assigned = {0, 1}
    worker = log.worker(assigned=assigned)
    worker([log.messages[0][0], log.messages[1][0]])
    assert worker._held._partitions.keys() == {0, 1}
    assigned.remove(1)
    worker([log.messages[0][1]])
    assert worker._held._partitions.keys() == {0}
