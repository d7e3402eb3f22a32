"""The commands at the top of the edges' configurations, against the configurations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EDGE = Path(__file__).resolve().parents[2] / "deploy" / "edge"
NGINX = (EDGE / "nginx" / "nginx.conf").read_text()
DEFAULT = (EDGE / "varnish" / "default.vcl").read_text()
VCL = (EDGE / "varnish" / "tidecast.vcl").read_text()


def told(text: str, pattern: str) -> str:
    """What a configuration says in one place and no other."""
    found = set(re.findall(pattern, text))
    assert len(found) == 1, found
    return str(found.pop())


def test_the_agent_listens_where_nginx_asks() -> None:
    listens = told(NGINX, r"TIDECAST_EDGE_SOCKET=(\S+)")
    assert told(NGINX, r"start\(\"unix:([^\"]+)\"\)") == listens
    # Its socket is for its group alone, so that has to be the one that nginx runs in.
    assert told(NGINX, r"sg (\S+) -c") == told(NGINX, r"(?m)^user (\S+);")


@pytest.mark.parametrize("server", ["nginx", "varnish"])
def test_all_that_a_configuration_needs_is_copied(server: str) -> None:
    text = {"nginx": NGINX, "varnish": DEFAULT}[server]
    assert f"cp deploy/edge/{server}/* /etc/{server}/" in text
    for name in re.findall(rf"/etc/{server}/(\w+\.\w+)", text):
        assert (EDGE / server / name).exists()
    for name in re.findall(r"require\(\"(\w+)\"\)", text):
        assert (EDGE / server / f"{name}.lua").exists()


def test_varnish_is_started_with_what_its_language_names() -> None:
    for store in set(re.findall(r"storage\.(\w+)", VCL)):
        assert f"-s {store}=malloc" in DEFAULT
    listener = told(DEFAULT, r"-a tidecast=(\S+)")
    assert told(DEFAULT, r"TIDECAST_EDGE_VARNISH=http://(\S+)") == listener
    assert told(VCL, r"local\.socket != \"(\w+)\"") == "tidecast"
