"""A service of docker-compose.yml as its container runs, on machines without a container engine.

A mount namespace of its own, whose root holds system, Python and program and cannot be written
to, but for the volumes and folders in memory that the service has; the user, and what the service
has dropped. The network is the machine's, so ports are given, and /dev/shm, which an engine would
give, is not there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from numba.core.caching import _CacheLocator

from stream.http.listening import free_port
from tests.deploy.manifests import COMPOSE, ROOT, image_environment
from tests.patience import PATIENCE

PACKAGES = ("topics", "models", "stream")
DEVICES = ("null", "zero", "full", "random", "urandom")
USER = 10001  # and its group: the Dockerfile's `useradd`
# As a container engine mounts a folder in memory.
IN_MEMORY = "rw,noexec,nosuid,nodev,mode=1777"


def need_namespaces() -> None:
    """Skips the test where a process may not have mounts of its own, or not become another user."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("needs unshare and setpriv (apt-get install util-linux)")
    tried = ["unshare", "--mount", "setpriv", "--reuid=1", "--clear-groups", "true"]
    done = subprocess.run(tried, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        pytest.skip(f"needs root and mount namespaces: {done.stderr.strip()}")


class Volumes:
    """The named volumes of the services, as folders that they share.

    A new one is as the image has the folder where it is mounted: the user's, and with kernels.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> Path:
        volume = self._folder / name
        if not volume.exists():
            volume.mkdir(parents=True)
            if name == "kernels":
                copy_kernels(volume)
            for path in (volume, *volume.rglob("*")):
                os.chown(path, USER, USER)
        return volume


def copy_kernels(volume: Path) -> None:
    """Puts the kernels that are compiled here where the image has them: in `NUMBA_CACHE_DIR`."""
    for package in PACKAGES:
        for kept in (ROOT / package).rglob("__pycache__/*.nb[ic]"):
            beside = kept.parent.parent / "module.py"
            folder = volume / _CacheLocator.get_suitable_cache_subpath(str(beside))
            folder.mkdir(exist_ok=True)
            shutil.copy2(kept, folder)


class Container:
    """A service that runs.

    Attributes:
        name: of the service.
        writable: the folders that it may write to, as it sees them.
        metrics_port: the port that stands for the one of its metrics.
    """

    def __init__(
        self, name: str, folder: Path, volumes: Volumes, environment: Mapping[str, str]
    ) -> None:
        service = COMPOSE["services"][name]
        self.name = name
        self.metrics_port = free_port()
        self._log = folder / f"{name}.log"
        mounts = [volume.split(":") for volume in service["volumes"]]
        self.writable = {*service["tmpfs"], *(place for _, place in mounts)}
        python = os.path.realpath(sys.prefix) + "/bin/python"
        given = {
            **image_environment(),
            **service["environment"],
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": "/tmp",  # as the image's `useradd` has it
            **environment,
            "TIDECAST_METRICS_PORT": str(self.metrics_port),
        }
        script = _script(
            folder / f"{name}.root",
            service["read_only"],
            service["tmpfs"],
            {place: volumes[volume] for volume, place in mounts},
        )
        run = [*_rights(service), "env", "--chdir=/data", python, "-m", "stream"]
        script += f'\nexec chroot {folder / f"{name}.root"} {shlex.join(run)} "$@"'
        with self._log.open("wb") as sink:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", script, name, *service["command"]],
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=given,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._process.poll()

    def output(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def is_healthy(self) -> bool:
        """What its check of health asks."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return "tidecast_" in answer.read().decode()
        except OSError:
            return False

    def mounts(self) -> dict[str, bool]:
        """Where something is mounted, as the process has it, and whether it can be written to."""
        lines = Path(f"/proc/{self._process.pid}/mountinfo").read_text().splitlines()
        fields = [line.split() for line in lines]
        return {field[4]: "rw" in field[5].split(",") for field in fields}

    def status(self) -> dict[str, str]:
        """Who the process is and what it may, as /proc/PID/status has it."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def terminate(self) -> None:
        """Asks it to end."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Its exit code; kills it after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _rights(service: Mapping[str, object]) -> list[str]:
    """The command that takes from itself what the service has not."""
    user, group = str(service["user"]).split(":")
    command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    if service["cap_drop"] == ["ALL"]:
        command += ["--inh-caps=-all", "--bounding-set=-all"]
    if service["security_opt"] == ["no-new-privileges:true"]:
        command += ["--no-new-privs"]
    return command


def _script(root: Path, read_only: bool, in_memory: list[str], volumes: Mapping[str, Path]) -> str:
    """Shell commands that make the root of a container at `root`, to be run in its namespace."""
    root.mkdir()
    passwd = root.with_suffix(".passwd")
    passwd.write_text(f"tidecast:x:{USER}:{USER}::/tmp:/bin/sh\n")
    lines = [_sh("mount", "--bind", root, root)]
    for place in in_memory:
        lines.append(_sh("mkdir", "-p", f"{root}{place}"))
        lines.append(_sh("mount", "-t", "tmpfs", "-o", IN_MEMORY, "tmpfs", f"{root}{place}"))
    for source in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.islink(source):
            lines.append(_sh("ln", "-s", os.readlink(source), f"{root}{source}"))
    system = ("/usr", "/etc", "/proc", "/sys", "/bin", "/sbin", "/lib", "/lib64")
    for path in system:
        if os.path.isdir(path) and not os.path.islink(path):
            lines.append(_bound(root, path))
    python = {os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix)}
    lines += [_bound(root, path) for path in sorted(python) if not path.startswith("/usr")]
    lines += [_bound(root, str(ROOT / package)) for package in PACKAGES]
    lines += [_bound(root, f"/dev/{device}") for device in DEVICES]
    lines.append(_bound(root, str(passwd), "/etc/passwd"))
    for place in sorted({*volumes, "/data"}):  # the image has it, and begins there
        lines.append(_sh("mkdir", "-p", f"{root}{place}"))
    for place, volume in volumes.items():
        lines.append(_sh("mount", "--bind", volume, f"{root}{place}"))
    if read_only:
        lines.append(_sh("mount", "-o", "remount,bind,ro", root))
    return "\n".join(lines)


def _bound(root: Path, source: str, place: str | None = None) -> str:
    """Puts a file or folder of the machine into a root, not to be written to."""
    at = f"{root}{place or source}"
    made = [_sh("mkdir", "-p", at if os.path.isdir(source) else os.path.dirname(at))]
    if not os.path.isdir(source) and place is None:
        made.append(_sh("touch", at))
    made.append(_sh("mount", "--bind", source, at))
    made.append(_sh("mount", "-o", "remount,bind,ro,nosuid", at))
    return "\n".join(made)


def _sh(*words: object) -> str:
    return shlex.join(map(str, words))
