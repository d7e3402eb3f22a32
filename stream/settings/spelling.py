"""How the value of a setting is written, and read: in the environment, in a file, on a page."""

from __future__ import annotations

import math
import re
import typing
from typing import Any

from topics.errors import TidecastError

PREFIX = "TIDECAST_"  # of every setting in the environment
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class SettingsError(TidecastError, ValueError):
    """A setting that is unknown or has a value that is not allowed."""


class Duration(float):
    """Seconds. Written as a number or with a unit: `30s`, `5m`, `1h`, `7d`."""

    @classmethod
    def parse(cls, text: str | float) -> Duration:
        """Seconds from `90`, `"90"`, `"90s"`, `"1.5m"`, `"1h"` or `"7d"`.

        Raises:
            ValueError: not a duration, or negative.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(text))
        if match is None:
            raise ValueError(
                f"got {text!r}; expected seconds or a duration such as 30s, 5m, 1h, 7d"
            )
        return cls(float(match[1]) * _UNITS[match[2] or "s"])

    def __str__(self) -> str:
        """As it may be written, in the largest unit that it is a whole number of."""
        whole = [unit for unit, length in _UNITS.items() if self and self % length == 0]
        unit = whole[-1] if whole else "s"
        return f"{float(self) / _UNITS[unit]:.15g}{unit}"


def ages(*texts: str) -> tuple[Duration, ...]:
    """Durations, as they may be written."""
    return tuple(Duration.parse(text) for text in texts)


def spell(value: Any) -> str:
    """A setting's value as the environment spells it; a secret as `***`."""
    return ",".join(map(spell, value)) if isinstance(value, tuple) else str(value)


def read(name: str, kind: Any, value: Any) -> Any:
    """`value`, from text or TOML, as the type of the setting `name`.

    Raises:
        SettingsError: it is none of that type.
    """
    try:
        if typing.get_origin(kind) is tuple:
            items = value if isinstance(value, list | tuple) else _listed(str(value))
            return tuple(read(name, typing.get_args(kind)[0], item) for item in items)
        if kind is Duration:
            return Duration.parse(value)
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError(f"got {value}; expected a whole number")
        converted = kind(value)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ValueError(f"got {value}; expected a finite number")
        return converted
    except (TypeError, ValueError, OverflowError) as error:
        raise SettingsError(f"{name}: {error}") from error


def _listed(text: str) -> list[str]:
    return text.split(",") if text.strip() else []
