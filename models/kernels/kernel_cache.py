"""Where compiled kernels are kept if none of the usual places can be written to.

numba keeps a kernel in `NUMBA_CACHE_DIR`, or else beside its source, or else in the user's cache,
and refuses to define it where it can write to none of them: a package of the system that is run by
a user without a home. There it is given a folder of this user's among the temporary ones. What is
kept there runs when it is loaded, so nobody else may write to it.

    KernelCacheError(TidecastError, ImportError)    there is no such place either
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from topics.errors import TidecastError

VARIABLE = "NUMBA_CACHE_DIR"
# The folders whose modules define kernels, from the one that holds the rooms.
WITH_KERNELS = (
    "models/caches", "models/caches/networks", "models/cascades", "models/data",
    "models/forecasters", "models/forecasters/jump_ode", "models/kernels", "stream/historian",
    "stream/sources", "stream/tracker", "stream/workers",
)  # fmt: skip
_ROOMS = Path(__file__).resolve().parents[2]


class KernelCacheError(TidecastError, ImportError):
    """Compiled kernels can be kept nowhere."""


def settle() -> None:
    """Sees that numba has a place; to be called before the first kernel is defined.

    Processes that this one starts have the same, by the environment.

    Raises:
        KernelCacheError: there is none.
    """
    given = os.environ.get(VARIABLE)
    beside = [_ROOMS / folder / "__pycache__" for folder in WITH_KERNELS]
    if (given and _usable(given)) or all(map(_usable, beside)) or _usable(_of_the_user()):
        return
    os.environ[VARIABLE] = str(temporary())
    if "numba" in sys.modules:  # it has read the environment by then
        sys.modules["numba"].config.reload_config()


def temporary() -> Path:
    """A folder among the temporary ones that this user alone may write to, made if missing.

    Raises:
        KernelCacheError: none can be made.
    """
    try:
        own = Path(tempfile.gettempdir()) / f"tidecast-kernels-{os.getuid()}"
        with suppress(FileExistsError):
            own.mkdir(mode=0o700)
        return own if _is_private(own) else Path(tempfile.mkdtemp(prefix="tidecast-kernels-"))
    except OSError as error:
        raise KernelCacheError(
            f"compiled kernels can be kept nowhere ({error.strerror}); set {VARIABLE} to a folder "
            "that can be written to, or TMPDIR"
        ) from error


def _is_private(folder: Path) -> bool:
    """Whether it is no link, this user's, and nobody else's to read or write."""
    found = folder.lstat()
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and stat.S_IMODE(found.st_mode) & 0o077 == 0
    )


def _of_the_user() -> str:
    """numba's folder in the user's cache, as the platform has it."""
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches/numba")
    return os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "numba")


def _usable(folder: str | Path) -> bool:
    """Whether it is there, or can be made, and can be written to: asked as numba does."""
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
