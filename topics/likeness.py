"""What a value looks like that is not its topic's record: the likely cause, and what to set.

Asked only when a value has not decoded. An answer is a guess in words for whoever reads the dead
letter; nothing else is made of it.

Sources: Confluent's wire format (magic byte 0, schema id as four bytes, big-endian), the magic
numbers of the formats named, RFC 8259, section 8.1 (byte order marks).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import msgspec

HEADER_BYTES = 5
_UTF8_MARK = b"\xef\xbb\xbf"
_OBJECT = re.compile(rb"\s*\{")
_PLAIN = "; send plain JSON in UTF-8, one record a message"
_COMPRESSED = {
    b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy", b"\x82SNAPPY\x00": "snappy", b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz", b"\x78\x01": "zlib", b"\x78\x9c": "zlib", b"\x78\xda": "zlib",
}  # fmt: skip
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{\0", b"[\0", b"\0[\0")
# Units finer than seconds, and the least number that is taken for a time in each: that of 1973.
_UNITS = ((1e11, 1e3, "milliseconds"), (1e14, 1e6, "microseconds"), (1e17, 1e9, "nanoseconds"))
_FIELD = re.compile(r"at `\$\.(\w+)`$")
_MISSING = re.compile(r"missing required field `(\w+)`$")
_SHOWN = 40  # characters of a value


def unwrapped(value: bytes) -> bytes:
    r"""A value without what may stand before JSON: a schema registry's header, a byte order mark.

    >>> unwrapped(b'\x00\x00\x00\x00\x07{"a":1}')
    b'{"a":1}'
    """
    if value[:1] == b"\0" and _OBJECT.match(value, HEADER_BYTES):
        value = value[HEADER_BYTES:]
    return value.removeprefix(_UTF8_MARK)


def schema_id(value: bytes) -> int | None:
    """The schema id where a value begins with the header of a schema registry."""
    if len(value) < HEADER_BYTES or value[0] != 0:
        return None
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def cause(value: bytes, record: Any, error: str) -> str:
    """What the likely cause is, beginning with "; "; empty where nothing can be said.

    Args:
        value: JSON is expected in it.
        record: the type of the record.
        error: what the decoder says.
    """
    shape = _shape(value)
    if shape:
        return f"; {shape}{_PLAIN}"
    found = _decoded(value)
    if not isinstance(found, dict):
        return _text(value, found)
    return _envelope(found) or _field(found, record, error)


def _shape(value: bytes) -> str:
    """What bytes are that are no JSON at all."""
    if not value.strip():
        return "the value is empty"
    for magic, name in _COMPRESSED.items():
        if value.startswith(magic):
            return (
                f"the value is compressed by {name}: set compression.type in the producer instead, "
                "which is undone on the way"
            )
    if value.startswith(_UTF_16):
        return "the value looks like UTF-16"
    if value.startswith(b"Obj\x01"):
        return "the value is an Avro file"
    number = schema_id(value)
    if number is not None:
        return (
            f"the value begins with the header of a schema registry (schema {number}) and is not "
            "JSON behind it, but Avro or Protobuf: set another value.serializer in the producer"
        )
    if value[:1] == b"<":
        return "the value looks like XML"
    if value.startswith(b"eyJ"):
        return "the value looks like base64"
    if not value.isascii() and isinstance(_unpacked(value), dict):
        return "the value is MessagePack"
    return ""


def _text(value: bytes, found: Any) -> str:
    """What is wrong with text that is no JSON object."""
    if isinstance(found, list):
        return "; the value is an array: send each record as a message of its own"
    if isinstance(found, str):
        if isinstance(_decoded(found.encode()), dict):
            return "; the value is JSON within a JSON text: it was encoded twice, encode it once"
        return f"; the value is a text{_PLAIN}"
    if found is not None:
        return f"; the value is no object{_PLAIN}"
    first, _, rest = value.strip().partition(b"\n")
    if isinstance(_decoded(first), dict) and rest:
        return "; the value holds several lines: send each record as a message of its own"
    if re.search(rb":\s*-?(NaN|Infinity|inf|nan)\b", value):
        return "; JSON has no NaN and no Infinity: leave the field out, or send a number"
    if re.match(rb"\s*\{\s*'", value):
        return "; names in single quotes are not JSON (Python's repr?): use a JSON encoder"
    return ""


def _envelope(found: Mapping[str, Any]) -> str:
    """Whether the record is inside of something."""
    if {"schema", "payload"} <= set(found):
        return (
            "; the record is the payload of Kafka Connect's JsonConverter: set "
            "value.converter.schemas.enable=false"
        )
    if {"specversion", "data"} <= set(found):
        return "; the record is the data of a CloudEvent: send it in binary mode, as the value"
    return ""


def _field(found: Mapping[str, Any], record: Any, error: str) -> str:
    """What is wrong with the field that the decoder names."""
    missing = _MISSING.search(error)
    if missing is not None:
        alike = [name for name in found if _folded(name) == _folded(missing[1])]
        return f"; it has {_quoted(alike[0])}: name it {missing[1]}" if alike else ""
    at = _FIELD.search(error)
    if at is None or at[1] not in found:
        return ""
    name, given = at[1], found[at[1]]
    if _folded(name).endswith(("timestamp", "at")):
        return _time(given)
    number = _number(given) if isinstance(given, str) else None
    if number is not None and "got `str`" in error:
        return f"; {_quoted(given)} is a number in quotes: send {given.strip()[:_SHOWN]}"
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if is_number and str in _types(record, name):
        return f'; ids are text: send "{given}"'
    return ""


def _time(given: Any) -> str:
    """What a time that is no unix seconds looks like."""
    quoted = isinstance(given, str)
    number = _number(given) if quoted else given
    if isinstance(number, bool) or not isinstance(number, int | float):
        if quoted and re.match(r"\s*\d{4}-?\d\d-?\d\d", given):
            return f"; {_quoted(given)} is an ISO 8601 time: send unix seconds, a number"
        return "; send unix seconds, a number"
    for least, unit, name in reversed(_UNITS):
        if least <= number < least * 1e3:
            return f"; {number:.0f} looks like {name}: send unix seconds, {number / unit:.3f}"
    if quoted:
        return f"; {_quoted(given)} is a number in quotes: send unix seconds, a number"
    return ""


def _types(record: Any, name: str) -> tuple[Any, ...]:
    """What a field may be; of one of several records nothing is said."""
    hint = get_type_hints(record).get(name) if isinstance(record, type) else None
    return (hint, *get_args(hint))


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\s*-?\d{1,30}(\.\d{1,30})?\s*", text, re.ASCII) else None


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _decoded(value: bytes) -> Any:
    """As JSON; None where it is none."""
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _unpacked(value: bytes) -> Any:
    """As MessagePack; None where it is none."""
    try:
        return msgspec.msgpack.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, ValueError):
        return None
