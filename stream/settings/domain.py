"""What the settings of every domain have in common: a reason for each default, and bounds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stream.settings.spelling import SettingsError


def setting(default: Any, reason: str, *, positive: bool = False) -> Any:
    """A dataclass field with the one line that says why its default is what it is.

    Args:
        default: its value unless another is given.
        reason: what it is for, and why it is that.
        positive: whether only values above 0 are allowed.
    """
    return field(default=default, metadata={"reason": reason, "positive": positive})


@dataclass(frozen=True)
class Domain:
    """The settings of one domain. Domains are put together in `Settings`.

    One that has rules of its own checks them in `__post_init__`, after those of the others.
    """

    heading: ClassVar[str]  # of its part of docs/settings.md

    def __post_init__(self) -> None:
        """Refuses what is not above 0 and has to be."""
        for entry in dataclasses.fields(self):
            if entry.metadata["positive"]:
                self.allow(entry.name, getattr(self, entry.name) > 0, "more than 0")

    def allow(self, name: str, allowed: object, expected: str) -> None:
        """Refuses the value of a setting unless it is `allowed`.

        Raises:
            SettingsError: what was got, and what is `expected`.
        """
        if not allowed:
            value = getattr(self, name)
            got = repr(value) if isinstance(value, str) else value
            raise SettingsError(f"{name}: got {got}; expected {expected}")
