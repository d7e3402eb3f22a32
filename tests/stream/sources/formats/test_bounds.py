"""What fields take is what the contract says: held to msgspec's own conversion."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.formats.bounds import taker
from stream.sources.formats.errors import FieldError
from topics.records import EdgeRequest, SocialEvent

FIELDS = [
    pytest.param(field, id=f"{record.__name__}.{field.name}")
    for record in (SocialEvent, EdgeRequest)
    for field in msgspec.structs.fields(record)
]
NUMBERS = (
    st.integers(-10, 1 << 51) | st.floats(-10, 5e9) | st.sampled_from([1 << 50, 4_102_444_800])
)
LONG = ["x" * length for length in (256, 257, 2_048, 2_049)]
TEXTS = st.text(max_size=8) | st.sampled_from(["post", "share", *LONG])


@pytest.mark.parametrize("field", FIELDS)
@given(value=NUMBERS | TEXTS | st.booleans())
def test_it_is_what_msgspec_says(field: Any, value: Any) -> None:
    try:
        expected = msgspec.convert(value, field.type)
    except msgspec.ValidationError:
        expected = None
    try:
        taken = taker(field.type)(value)
    except FieldError as error:
        assert expected is None
        assert "expected" in str(error)
        return
    if expected is not None:
        assert taken == expected and type(taken) is type(expected)
    # What msgspec refuses is taken where logs have another type for it.
    assert msgspec.convert(taken, field.type) == taken


@pytest.mark.parametrize(
    ("field", "value", "taken"),
    [
        (EdgeRequest, "1024", ("size", 1024)),
        (EdgeRequest, "1024.0", ("size", 1024)),
        (EdgeRequest, 1024.0, ("size", 1024)),
        (EdgeRequest, "TRUE", ("hit", True)),
        (EdgeRequest, 0, ("hit", False)),
        (EdgeRequest, 7, ("edge_id", "7")),
        (SocialEvent, 7.0, ("cascade_id", "7")),
    ],
)
def test_texts_and_numbers_stand_for_one_another(field: Any, value: Any, taken: Any) -> None:
    name, expected = taken
    [type_] = [one.type for one in msgspec.structs.fields(field) if one.name == name]
    found = taker(type_)(value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "value", [float("nan"), "nan", 1.5, "1.5", True, [], {}, None, -1, 1 << 50]
)
def test_a_size_is_a_whole_number_within_its_bounds(value: Any) -> None:
    [type_] = [one.type for one in msgspec.structs.fields(EdgeRequest) if one.name == "size"]
    with pytest.raises(FieldError, match="expected a whole number ≥ 0 and <"):
        taker(type_)(value)
