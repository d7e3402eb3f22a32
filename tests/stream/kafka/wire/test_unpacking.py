"""Codecs: what is packed comes out, within the bound; what is not is refused in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiokafka import codec as kafka

from stream.kafka.wire.unpacking import CODECS, CodecError, UnpackError, unpacked

PACK: dict[int, Callable[[bytes], bytes]] = {
    1: kafka.gzip_encode,
    2: kafka.snappy_encode,
    3: kafka.lz4_encode,
    4: kafka.zstd_encode,
}
TEXT = b'{"cascade_id": "c1", "kind": "share"}' * 2_000


@pytest.mark.parametrize("codec", CODECS)
def test_what_was_packed_comes_out(codec: int) -> None:
    for content in (b"a", TEXT, bytes(300_000)):
        assert unpacked(codec, memoryview(PACK[codec](content))) == content


def test_snappy_comes_in_blocks_or_as_one() -> None:
    """Java's producers write blocks, librdkafka's one."""
    packed = kafka.snappy_encode(TEXT, xerial_compatible=False)
    assert unpacked(2, memoryview(packed)) == TEXT


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_frames_may_follow_one_another(codec: int) -> None:
    assert unpacked(codec, memoryview(PACK[codec](TEXT) * 2)) == TEXT * 2


@pytest.mark.parametrize("codec", CODECS)
def test_what_unpacks_to_too_much_is_refused(codec: int) -> None:
    packed = memoryview(PACK[codec](bytes(100_001)))
    assert len(unpacked(codec, packed, 100_001)) == 100_001
    with pytest.raises(UnpackError, match=f"{CODECS[codec]} does not unpack, within 100,000 bytes"):
        unpacked(codec, packed, 100_000)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_not_packed_is_refused(codec: int) -> None:
    packed = PACK[codec](TEXT)
    for broken in (packed[:-9], packed[:20], TEXT, packed[:30] + b"\xff" * 30 + packed[60:]):
        with pytest.raises(UnpackError, match=f"{CODECS[codec]} does not unpack"):
            unpacked(codec, memoryview(broken))


def test_a_codec_that_nobody_knows_is_named() -> None:
    with pytest.raises(CodecError, match="compressed by codec 5, which nobody knows; gzip, snappy"):
        unpacked(5, memoryview(b"abc"))
