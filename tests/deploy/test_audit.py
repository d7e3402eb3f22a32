"""requirements.lock, and the question whether anything in it is known to be vulnerable."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy import audit, lock

PINNED = [Requirement(line) for line in lock.LOCK.read_text().splitlines() if line[0] != "#"]


@contextmanager
def database(vulnerable: str) -> Iterator[str]:
    """A database of vulnerabilities on loopback that knows of one, in the protocol of OSV."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            package = asked["package"]
            entry = {
                "id": "GHSA-0000-0000-0000", "details": "invented", "aliases": [],
                "published": "2020-01-01T00:00:00Z", "modified": "2020-01-01T00:00:00Z",
                "affected": [{
                    "package": package,
                    "ranges": [{"type": "ECOSYSTEM",
                                "events": [{"introduced": "0"}, {"fixed": "9999.1"}]}],
                }],
            }  # fmt: skip
            body = json.dumps({"vulns": [entry]} if package["name"] == vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_lock_has_a_version_that_is_allowed_of_everything_asked_for() -> None:
    pinned = {canonicalize_name(one.name): one for one in PINNED}
    assert len(pinned) == len(PINNED), "a name stands twice: run make lock"
    for one in PINNED:
        assert [specifier.operator for specifier in one.specifier] == ["=="], str(one)
    for needed in lock.direct():
        name = canonicalize_name(needed.name)
        assert (name in pinned) != (name == "torch"), f"{name}: run make lock"
        if name != "torch":
            [exact] = pinned[name].specifier
            assert exact.version in needed.specifier, f"{name}: run make lock"


def test_what_a_locked_version_needs_is_in_the_lock() -> None:
    # What is installed here may be newer than the lock, and need other things.
    locked = {canonicalize_name(one.name): str(one.specifier)[2:] for one in PINNED}
    here = lock.closure()
    alike = [name for name, version in here.items() if locked.get(name) == version]
    assert len(alike) > len(locked) / 2, "the lock is of another time: run make lock"
    needed = {canonicalize_name(one.name) for name in alike for one in lock.needs(name)}
    missing = (needed & here.keys()) - locked.keys()
    assert not missing, f"{missing}: run make lock"


def test_without_a_network_it_says_that_nothing_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert audit.main(["--osv-url", "http://127.0.0.1:9/v1/query"]) == 75
    told = capsys.readouterr()
    assert "NOT AUDITED" in told.err and "Nothing is known" in told.err
    assert "vulnerabilities" not in told.out


def test_what_is_known_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with database("starlette") as url:
        assert audit.main(["--osv-url", url]) == 1
    told = capsys.readouterr().out
    assert "GHSA-0000-0000-0000, mended in 9999.1" in told
    assert f"{len(PINNED)} packages asked about, 1 known vulnerabilities" in told
    with database("nothing") as url:
        assert audit.main(["--osv-url", url]) == 0
    assert "0 known vulnerabilities" in capsys.readouterr().out
