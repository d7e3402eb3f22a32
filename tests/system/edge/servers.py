"""Edge servers for tests: the real ones, with the configuration that ships, on ports of their own.

Each is told where its agent is, and stands before an origin.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream.http.listening import free_port
from tests.patience import PATIENCE, until_so
from tests.system.edge.http import Client, Port

DEPLOY = Path(__file__).resolve().parents[3] / "deploy" / "edge"
_PROGRAMS = os.environ.get("PATH", "") + ":/usr/sbin"  # where Debian puts servers
_LUA = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
_CJSON = Path("/usr/lib").glob("*/lua/5.1/cjson.so")
NGINX = shutil.which("nginx", path=_PROGRAMS) if _LUA.exists() and any(_CJSON) else None
VARNISH = shutil.which("varnishd", path=_PROGRAMS)


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when something listens there."""

    def listens() -> bool:
        ended = process.poll() is not None
        assert not ended, f"{process.args!r} has ended:\n{log.read_text(errors='replace')}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    until_so(listens, lambda: f"{process.args!r} to listen:\n{log.read_text(errors='replace')}")


def configured(text: str, changes: Mapping[str, str]) -> str:
    """A configuration with some of it changed; what is to be changed has to be there."""
    for old, new in changes.items():
        assert old in text, f"the configuration that ships has no {old!r}"
        text = text.replace(old, new)
    return text


class EdgeServer:
    """A server in front of an origin, as a process.

    Attributes:
        port: where it serves.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = free_port()
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def _start(self, command: list[str]) -> None:
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT)
        await_port(self.port, self._process, self.log)

    def held(self) -> int:
        """What it holds of the origin's, in the unit that its capacity has."""
        raise NotImplementedError

    def has_heard(self, agent: Mapping[str, Any]) -> bool:
        """Whether it obeys, and has heard of all that was the agent's status."""
        raise NotImplementedError

    def obeys(self) -> bool:
        """Whether it now makes a difference between objects."""
        raise NotImplementedError

    def get(self, target: str) -> int:
        """The status of a request on a connection of its own."""
        client = Client(self.port)
        status, _, _ = client.get(target)
        client.close()
        return status

    def send(self, request: bytes) -> bytes:
        """All that comes back for bytes that need be no request."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(4096), b""))

    def logged(self, count: int) -> list[bytes]:
        """Its log of requests, as `edge.requests` is to have them, once it has so many lines."""
        until_so(lambda: len(self._lines()) >= count, lambda: f"{count} lines: {self._lines()}")
        return self._lines()

    def _lines(self) -> list[bytes]:
        """The log of requests as it is now."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends it, and what it has started."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Nginx(EdgeServer):
    """nginx with `deploy/edge/nginx`.

    `max_size` is enforced every ten seconds, too seldom for a replay. What bounds the cache to the
    object is the zone of its keys: when that is full, the object used longest ago is put out for
    each that comes, on the spot. The least that nginx allows, 32 kB, has room for 191 keys.

    Attributes:
        requests: its log of requests, as `edge.requests` is to have them.
    """

    ZONE = "32k"

    def __init__(
        self,
        folder: Path,
        origin: Port,
        socket: Path,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        source = DEPLOY / "nginx"
        shutil.copytree(source, folder, dirs_exist_ok=True)
        self._cache = folder / "objects"
        self.requests = folder / "requests.json"
        text = configured(
            (source / "nginx.conf").read_text(),
            {
                "user www-data;": "daemon off;",
                "worker_processes auto": "worker_processes 2",
                "pid /run/nginx.pid": f"pid {folder}/nginx.pid",
                "/var/log/nginx/error.log": str(folder / "error.log"),
                "/etc/nginx/?.lua": f"{folder}/?.lua",
                "unix:/run/tidecast/edge.sock": f"unix:{socket}",
                "/var/cache/nginx/objects": str(self._cache),
                "keys_zone=objects:64m": f"keys_zone=objects:{self.ZONE}",
                "server 127.0.0.1:8081": f"server 127.0.0.1:{origin.port}",
                "listen 80;": f"listen 127.0.0.1:{self.port};",
                "/etc/nginx/tidecast_cache.conf": str(folder / "tidecast_cache.conf"),
                "/var/log/nginx/requests.json": str(self.requests),
                "http {": "http {"
                + "".join(
                    f" {kind}_temp_path {folder}/{kind};"
                    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
                ),
                **(changes or {}),
            },
        )
        if os.geteuid() == 0:
            # Its workers are to use the test's folders, as they do where the test is not root.
            text = "user root;\n" + text
        (folder / "nginx.conf").write_text(text)
        self._start([str(NGINX), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")])

    def _lines(self) -> list[bytes]:
        return self.requests.read_bytes().splitlines()

    def held(self) -> int:
        return sum(len(files) for _, _, files in os.walk(self._cache))

    def status(self) -> dict[str, Any]:
        """What its copy of the decisions says of itself."""
        client = Client(self.port)
        found: dict[str, Any] = json.loads(client.get("/tidecast")[2])
        client.close()
        return found

    def has_heard(self, agent: Mapping[str, Any]) -> bool:
        status = self.status()
        return bool(status["obeyed"] and status["cursor"] == agent["cursor"])

    def obeys(self) -> bool:
        return bool(self.status()["obeyed"])


class Varnish(EdgeServer):
    """Varnish with `deploy/edge/varnish`, a cache of so many bytes.

    Its stores are exact: what does not fit puts out what was used longest ago, on the spot. Varnish
    looks at an object's use every two seconds at most, which is longer than a replayed hour, so
    here it looks at every one.

    Args:
        store: bytes of the store `main`.
        rest: of the store `rest`; the least that Varnish allows is 1 MiB.
        changes: of the two files of VCL.

    """

    def __init__(
        self,
        folder: Path,
        origin: Port,
        agent_port: int,
        listener: int,
        store: int,
        rest: int,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        source = DEPLOY / "varnish"
        shutil.copytree(source, folder, dirs_exist_ok=True)
        own = {
            '.port = "9180"': f'.port = "{agent_port}"',
            '.port = "8081"': f'.port = "{origin.port}"',
            '"/etc/varnish/tidecast.vcl"': f'"{folder}/tidecast.vcl"',
            **(changes or {}),
        }
        names = ("tidecast.vcl", "default.vcl")
        parted = "\n# ---\n"
        text = parted.join((source / name).read_text() for name in names)
        for name, part in zip(names, configured(text, own).split(parted), strict=True):
            (folder / name).write_text(part)
        self._name = str(folder / "n")
        self._listener = listener
        self._command = [
                str(VARNISH), "-F", "-j", "none", "-n", self._name,
                "-f", str(folder / "default.vcl"),
                "-a", f"127.0.0.1:{self.port}", "-a", f"tidecast=127.0.0.1:{listener}",
                "-s", f"main=malloc,{store}", "-s", f"rest=malloc,{rest}",
                "-s", "decisions=malloc,4m", "-p", "lru_interval=0",
                "-p", "shortlived=0", "-p", "vsl_reclen=3k", "-p", "nuke_limit=100000",
        ]  # fmt: skip
        self.start()

    def _lines(self) -> list[bytes]:
        # Of the whole log in memory, with the command that default.vcl tells.
        told = subprocess.run(
            ["varnishncsa", "-d", "-n", self._name, "-j", "-q", "VCL_Log:object",
             "-f", str(self.folder / "requests.format")],
            check=True, capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
        return told.stdout.splitlines()

    def start(self) -> None:
        """Starts it, after `close` anew: with nothing in its cache."""
        self._start(self._command)

    def decides(self, target: str) -> bool:
        """Whether it holds a decision about an object."""
        client = Client(self._listener)
        status, headers, _ = client.get("/.tidecast/decision?" + target)
        client.close()
        return status == 200 and bool(headers["X-Tidecast-Verdict"])

    def counters(self) -> dict[str, int]:
        """What varnishstat tells."""
        told = subprocess.run(
            ["varnishstat", "-n", self._name, "-j"],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        return {name: of["value"] for name, of in json.loads(told.stdout)["counters"].items()}

    def held(self) -> int:
        counters = self.counters()
        return counters["SMA.main.g_bytes"] + counters["SMA.rest.g_bytes"]

    def has_heard(self, agent: Mapping[str, Any]) -> bool:
        return bool(agent["informed"]) and self.obeys()

    def obeys(self) -> bool:
        return bool(self.counters()["VBE.boot.tidecast.happy"] & 1)
