"""Secrets: passwords and tokens that no print, log or traceback shows by accident.

They come from the environment or from a file of their own, never from the command line or the
settings file, which are passed around and shown.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from topics.errors import TidecastError

HIDDEN = "***"
_LONGEST = 65_536  # bytes of a file that is believed to be a secret


class SecretError(TidecastError, ValueError):
    """A secret cannot be had; says what to do."""


class Secret:
    """A text that shows itself as `***`. `reveal` gives it to what has to have it."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def matches(self, given: str) -> bool:
        """Whether `given` is the secret, in a time that tells nothing; an empty one never is."""
        same = hmac.compare_digest(self._text.encode(), given.encode(errors="replace"))
        return bool(self._text) and same

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})" if self._text else "Secret('')"

    def __str__(self) -> str:
        return HIDDEN if self._text else ""


def read_secret(name: str, given: Secret, file: str) -> Secret:
    """The secret of the setting `name`, or the content of the file of `<name>_file`; may be empty.

    The file is read whenever it is asked for, so that a secret may be renewed.

    Raises:
        SecretError: both are set, or the file cannot be read or is empty.
    """
    if not file:
        return given
    if given:
        raise SecretError(f"{name} and {name}_file are both set; keep one of them")
    try:
        with Path(file).open("rb") as source:
            content = source.read(_LONGEST + 1)
        text = content.decode("utf-8-sig").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(
            f"{name}_file: {file} cannot be read ({error}); name a file that this user may read"
        ) from error
    if not text or "\n" in text or len(content) > _LONGEST:
        raise SecretError(f"{name}_file: {file} holds no secret; expected one line of text")
    return Secret(text)
