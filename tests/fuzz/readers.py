"""Every decoder and reader as a function of bytes, with what it may refuse them by.

`tests/test_hostile_input.py` gives each of them drawn and mutilated bytes. An exception other than
those in `refuses` is a finding, and so is a record that does not survive its own encoding: it is
outside its bounds.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from models import registry
from models.caches.mamba_step import CompiledCacheMamba
from models.caches.networks.cachemamba import CacheMambaNetwork
from models.caches.networks.ranker import Config
from models.cascades.recordings import read_recording
from models.data.requests import read_requests
from models.data.text import DataFormatError
from models.forecasters.seismic import CONSTANTS
from models.learning.network_files import CONFIG, WEIGHTS, load_network, save_network
from models.learning.weights import single, weights_of
from stream.checkpoints import content as checkpoint_file
from stream.checkpoints.content import CheckpointError
from stream.ranker.edges import RankedPartition, usable
from stream.serving.rankers import decayed
from stream.settings import Settings, SettingsError, load
from stream.sources.formats import mapping
from stream.sources.formats.errors import FieldError, FormatError
from stream.sources.formats.format import PRESETS as FORMATS
from stream.sources.formats.format import Format, find
from topics import consistency
from topics.catalogue import CATALOGUE, EDGE_REQUESTS, SOCIAL_EVENTS, Topic
from topics.codecs import DecodeError
from topics.records import CascadeSnapshot, EdgeWindow

SEISMIC = registry.SHIPPED / "seismic" / "1"
CASCADES = b"c1\tann\t1000\t3\tann:0 ann/bob:5 ann/bob/cy:7.5\nc2\tx\t1e9\t1\tx:0\n"
REQUESTS = b"timestamp,object_id,client_id,size\n1,x,u,10\n1.5,y,v,7\n2,x,u,10\n"
TOML = b'kafka = "a:1"\npartitions = 8\nwindow = "5m"\nhorizons = ["1h", "48h"]\n'


class Reader(NamedTuple):
    """A reader, the errors that say what is wrong with what it was given, and sound examples."""

    read: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]
    seeds: list[bytes]

    def __call__(self, data: bytes) -> bool:
        """Whether the bytes were accepted; raises what is a finding."""
        try:
            self.read(data)
        except self.refuses:
            return False
        return True


def examples(topic: Topic) -> list[bytes]:
    """A record of each type of a topic, a plain value in every field."""
    from tests.topics.conftest import _plain
    from topics.contract import records

    return [
        topic.codec.encode(msgspec.convert(_plain(msgspec.inspect.type_info(record)), record))
        for record in records(topic)
    ]


def decode(topic: Topic, data: bytes) -> None:
    """The record, which has to survive its own encoding."""
    record = topic.codec.decode(data)
    assert topic.codec.decode(topic.codec.encode(record)) == record
    if isinstance(record, CascadeSnapshot):
        consistency.of_snapshot(record)


def rank(data: bytes) -> None:
    """A window as a ranker takes it in, and what it says of it, which readers have to accept."""
    window = usable(data)
    if isinstance(window, DecodeError):
        raise window
    codec = CATALOGUE["cache.decisions"].codec
    settings = Settings(cache_objects=2)
    for change in RankedPartition(settings, decayed(settings)).step(window, 0.0):
        if change.record is not None:
            codec.decode(codec.encode(change.record))


def window() -> bytes:
    """A sound window of two objects."""
    packed = [np.array(values, kind).tobytes() for values, kind in
              (([2, 1], "<i4"), ([100, 0], "<i8"), ([0, 1, 0], "<i4"))]  # fmt: skip
    record = EdgeWindow("lyon", 600.0, 300.0, 0, 1, ["a", "b"], *packed)
    return CATALOGUE["edge.windows"].codec.encode(record)


def in_file(name: str, read: Callable[[Path], object], data: bytes) -> None:
    """Reads the bytes from a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        read(path)


def registry_file(name: str, data: bytes) -> None:
    """Loads a version of which one file is these bytes, and the card says so."""
    with TemporaryDirectory() as root:
        folder = Path(root) / "seismic" / "1"
        folder.mkdir(parents=True)
        for path in SEISMIC.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / name).write_bytes(data)
        if name != registry.CARD:
            registry.write_card(folder, registry.read_card("seismic", "1"))
        registry.load("seismic", root=root)


def network_file(name: str, data: bytes) -> None:
    """Loads a network of which one file is these bytes."""
    with TemporaryDirectory() as folder:
        for path, sound in NETWORK.items():
            (Path(folder) / path).write_bytes(sound)
        (Path(folder) / name).write_bytes(data)
        stored = load_network(Path(folder), Config, ["requests"])
        CompiledCacheMamba(stored.config, single(stored.weights))


def network() -> dict[str, bytes]:
    """The files of a small network."""
    torch.manual_seed(0)
    config = Config(width=4, state=2)
    with TemporaryDirectory() as folder:
        weights = weights_of(CacheMambaNetwork(config))
        save_network(Path(folder), config, weights, ["requests"])
        return {name: (Path(folder) / name).read_bytes() for name in (CONFIG, WEIGHTS)}


def formatted(form: Format, data: bytes) -> None:
    """Makes records of a message, each within its bounds."""
    for record in form.records(data):
        if EDGE_REQUESTS.codec.decode(EDGE_REQUESTS.codec.encode(record)) != record:
            raise AssertionError(f"{record} is another one by its own encoding")


def mapping_file(path: Path) -> None:
    """Reads a mapping, and has it read a record for each topic that it is of."""
    for topic in mapping.read(path).topics.keys() & {EDGE_REQUESTS.name, SOCIAL_EVENTS.name}:
        with suppress(FieldError):
            find(str(path), CATALOGUE[topic]).records(b'{"a": {"b": [1]}}')


MAPPING = (FORMATS / "nginx-json.toml").read_bytes()
LINE = b'192.0.2.7 - - [01/May/2026:12:00:00 +0000] "GET /a?b=1 HTTP/1.1" 200 612 "-" "-"'
FORMATTED = {
    "nginx-combined?edge=a": LINE,
    "nginx-json?edge=a": (
        b'{"msec":"1.5","request_method":"GET","host":"a","request_uri":"/b?c=1","status":"200"}'
    ),
    "filebeat+nginx-combined?edge=a": msgspec.json.encode(
        {"host": {"name": "b"}, "message": LINE.decode()}
    ),
    "debezium+native": (
        b'{"payload":{"op":"c","after":{"edge_id":"a","object_id":"b","timestamp":1}}}'
    ),
    "cloudfront-standard": (
        b"2026-05-01\t12:00:00\tF\t6\t1\tGET\td\t/a\t200\t-\t-\tv=1\t-\tHit\ti\th\thttps"
    ),
}
NETWORK = network()
CHECKPOINT = b"".join(
    checkpoint_file.encode({"a": np.arange(5), "b": np.zeros((2, 2))}, {"s": "t"})
)


def readers() -> dict[str, Reader]:
    """All of them, by name."""
    found: dict[str, Reader] = {}

    def add(name: str, read: Callable[[bytes], Any], refuses: Any, *seeds: bytes) -> None:
        refuses = refuses if isinstance(refuses, tuple) else (refuses,)
        found[name] = Reader(read, refuses, list(seeds))

    for topic in CATALOGUE.values():
        if examples(topic):
            add(topic.name, partial(decode, topic), DecodeError, *examples(topic))
    add("ranked window", rank, DecodeError, window())
    packed = ("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)
    for suffix, pack in packed:
        file = partial(in_file, f"cascades.txt{suffix}", read_recording)
        add(f"cascades{suffix}", file, DataFormatError, pack(CASCADES))
        file = partial(in_file, f"requests.csv{suffix}", read_requests)
        add(f"requests{suffix}", file, DataFormatError, pack(REQUESTS))
    add("checkpoint", checkpoint_file.decode, CheckpointError, CHECKPOINT)
    for name, example in FORMATTED.items():
        read = partial(formatted, find(name, EDGE_REQUESTS))
        add(f"format {name}", read, FieldError, example)
    add("mapping", partial(in_file, "mine.toml", mapping_file), FormatError, MAPPING)
    file = partial(in_file, "tidecast.toml", partial(load, environment={}))
    add("settings", file, SettingsError, TOML)
    for name in (registry.CARD, CONSTANTS):
        refuses = registry.BrokenModelError, registry.UnknownModelError
        add(f"model {name}", partial(registry_file, name), refuses, (SEISMIC / name).read_bytes())
    for name, content in NETWORK.items():
        add(f"network {name}", partial(network_file, name), (OSError, ValueError), content)
    return found


READERS = readers()
