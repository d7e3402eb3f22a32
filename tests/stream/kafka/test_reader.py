"""The consumers of the product, and what of aiokafka they rely on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiokafka.consumer import fetcher

from stream.kafka.reader import reader
from stream.kafka.wire import batches as record_batches
from stream.kafka.wire import unpacking
from stream.kafka.wire.unpacking import CodecError
from stream.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


def test_no_consumer_is_made_elsewhere() -> None:
    """Else it would read what was aborted, and stop at a batch that is broken."""
    made = [
        file.relative_to(ROOT / "stream").as_posix()
        for file in sorted((ROOT / "stream").rglob("*.py"))
        if re.search(r"AIOKafkaConsumer\(", file.read_text())
    ]
    assert made == ["kafka/reader.py"]


async def test_a_reader_reads_what_was_committed_and_on_at_whatever_is_in_a_batch() -> None:
    consumer = reader(Settings())
    await consumer.stop()
    assert consumer._isolation_level == "read_committed"
    assert fetcher.MemoryRecords is record_batches.RecordBatches


async def test_without_its_codecs_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "cramjam", None)
    with pytest.raises(CodecError, match=r"pip install 'aiokafka\[lz4,snappy,zstd\]'"):
        reader(Settings())
