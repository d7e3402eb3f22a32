"""Mappings as files have them: what is not known is refused, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.sources.formats.errors import FormatError
from stream.sources.formats.mapping import read

WHOLE = """
about = "an example"
[parameters]
edge = "fra-3"
[read]
as = "columns"
columns = ["a", "b"]
separator = ";"
[edge.requests]
where = [{ path = "a", is = ["GET", 200, true] }]
edge_id = "{$edge}"
object_id = { from = ["b", "a"], default = "none" }
timestamp = { from = "a", time = "iso", zone = "+02:00" }
[[social.events]]
cascade_id = "a"
[[social.events]]
cascade_id = "b"
"""


def mapping_of(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text)
    return file


def test_a_mapping_is_read(tmp_path: Path) -> None:
    mapping = read(mapping_of(tmp_path, WHOLE))
    assert (mapping.name, mapping.about, mapping.parameters) == (
        "mine", "an example", {"edge": "fra-3"}
    )  # fmt: skip
    assert (mapping.read.as_, mapping.read.columns, mapping.read.absent) == (
        "columns", ["a", "b"], ["-"]
    )  # fmt: skip
    [section] = mapping.topics["edge.requests"]
    assert section.where[0].is_ == ["GET", 200, True]
    assert section.fields["edge_id"].from_ == "{$edge}"
    assert section.fields["object_id"].default == "none"
    assert [one.fields["cascade_id"].from_ for one in mapping.topics["social.events"]] == ["a", "b"]


def test_its_digest_is_of_what_it_says(tmp_path: Path) -> None:
    first = read(mapping_of(tmp_path, WHOLE)).digest
    assert read(mapping_of(tmp_path, WHOLE)).digest == first != ""
    assert read(mapping_of(tmp_path, WHOLE.replace("fra-3", "fra-4"))).digest != first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about = 3", "mine: about: Expected `str`, got `int`"),
        ("[read]\nas = 'xml'", "mine: read: Invalid enum value 'xml'"),
        ("[read]\nway = 'json'", "mine: read: Object contains unknown field `way`"),
        ("surprise = 1", "mine: unknown key 'surprise'"),
        ("[edge.requests]\nedge_id = 3", r"mine: \[edge.requests\]: edge_id: Expected `object`"),
        ("[edge.requests]\nedge_id = { path = 'a' }", "unknown field `path`"),
        ("[edge.requests]\nwhere = [{ is = 'a' }]", "where: Object missing required field `path`"),
        ("[edge]\nrequests = 3", r"mine: \[edge.requests\]: got 3; expected a table"),
        ("[edge.requests", "mine.toml: it is not TOML: Expected"),
    ],
)
def test_what_is_none_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(mapping_of(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.toml: No such file"):
        read(tmp_path / "none.toml")
