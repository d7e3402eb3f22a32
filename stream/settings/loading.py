"""Where settings come from: environment over file over default.

The file is TOML, named by `TIDECAST_CONFIG`; the environment spells a setting `allowed_lateness` as
`TIDECAST_ALLOWED_LATENESS`. Lists are comma-separated there, and durations may carry a unit
everywhere (`30s`, `5m`, `1h`, `7d`). An unknown name raises, and says which names come close.
Where each value came from is told beside it (`load_with_origins`).
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream.secret import Secret
from stream.settings.spelling import PREFIX, SettingsError, read
from stream.settings.together import Settings

# Read from the environment by other parts, so not unknown: the file's name.
_NOT_SETTINGS = {"TIDECAST_CONFIG"}


def _unknown(name: str, where: str, known: Mapping[str, Any]) -> SettingsError:
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return SettingsError(f"{where}: unknown setting {name!r}{hint}")


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Settings:
    """Settings from defaults, then the file, then the environment, then `overrides`.

    Raises:
        SettingsError: an unknown setting, or a value that is not allowed.
        OSError: the file cannot be read.
    """
    return load_with_origins(file, environment, **overrides)[0]


def load_with_origins(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **overrides: Any,
) -> tuple[Settings, dict[str, str]]:
    """`load`, and where each setting's value came from.

    An origin is `default`, `file <path>`, `environment <VARIABLE>` or `flag --<option>`.
    """
    environment = os.environ if environment is None else environment
    hints = typing.get_type_hints(Settings)
    kinds = {entry.name: hints[entry.name] for entry in dataclasses.fields(Settings)}
    if file is None and environment.get("TIDECAST_CONFIG"):
        file = Path(environment["TIDECAST_CONFIG"])
    values: dict[str, Any] = {}
    origins = dict.fromkeys(kinds, "default")

    def take(name: str, value: Any, origin: str) -> None:
        values[name], origins[name] = value, origin

    if file is not None:
        try:
            content = tomllib.loads(file.read_text("utf-8-sig"))
        except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deep
            raise SettingsError(f"{file}: {error}") from error
        for name, value in content.items():
            if name not in kinds:
                raise _unknown(name, str(file), kinds)
            if kinds[name] is Secret:
                raise SettingsError(
                    f"{file}: {name} is a secret and does not belong here; give it in the "
                    f"environment as {PREFIX}{name.upper()}, or name a file that holds it with "
                    f"{name}_file"
                )
            take(name, value, f"file {file}")
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in kinds:
            raise _unknown(name, f"environment {variable}", kinds)
        take(name, value, f"environment {variable}")
    for name, value in overrides.items():
        if value is not None:
            take(name, value, f"flag --{name.replace('_', '-')}")
    converted = {name: read(name, kinds[name], value) for name, value in values.items()}
    return Settings(**converted), origins
