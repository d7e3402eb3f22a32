"""What goes wrong with formats.

TidecastError
└── FormatError           a mapping that cannot be used; says where, what was got, what is allowed
    └── FieldError        a value of one record that is not what its field takes
"""

from __future__ import annotations

from topics.errors import TidecastError


class FormatError(TidecastError, ValueError):
    """A mapping that cannot be used."""


class FieldError(FormatError):
    """A value of one record that is not what its field takes."""


def shown(value: object, longest: int = 60) -> str:
    """A value as it is told, cut where it is long.

    >>> shown("a" * 80, 10)
    "'aaaaaaaa..."
    """
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}..."
