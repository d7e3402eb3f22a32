"""One agent beside one cache: where it answers, what it holds, what it prefetches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration


@dataclass(frozen=True)
class EdgeAgents(Domain):
    """The edge that is followed, the sockets, the bounds and the cache itself."""

    heading: ClassVar[str] = "Edge agents"

    edge: str = setting("", "the edge whose decisions an agent follows")
    edge_socket: str = setting("runs/edge.sock", "Unix socket of look-ups and changes; empty: none")
    edge_socket_mode: str = setting("660", "its permissions, octal; the cache's group may connect")
    edge_port: int = setting(9180, "HTTP port of look-ups, changes and /metrics; 0: none")
    edge_host: str = setting("127.0.0.1", "its address; decisions are nobody else's business")
    edge_clients: int = setting(
        256, "requests to the agent at once; more are refused", positive=True
    )
    edge_decisions: int = setting(
        200_000,
        "decisions kept, some 170 MB at the bound, 600 MB where ids are as long as they may be; as "
        "many as objects are ranked",
        positive=True,
    )
    edge_changes: int = setting(
        5_000, "changes told in one answer, about half a megabyte", positive=True
    )
    edge_stale_after: Duration = setting(
        Duration(900),
        "decisions are not obeyed this long after the last epoch; three windows",
        positive=True,
    )
    edge_lease: Duration = setting(
        Duration(15),
        "a cache that has not heard of its agent for so long does without it",
        positive=True,
    )
    edge_burst: float = setting(
        4.0, "an object with no decision is stored at so many times the least kept rate; 0: never"
    )
    edge_server: str = setting(
        "", "URL of the cache, http://127.0.0.1:80, for the agent to prefetch through; empty: none"
    )
    edge_site: str = setting(
        "",
        "host that clients name, to prefetch for them; empty: edge_server's, or the object's own",
    )
    edge_prefetch_rate: float = setting(2.0, "objects a second prefetched at most", positive=True)
    edge_varnish: str = setting(
        "", "URL of a Varnish that the agent keeps informed; empty: the cache asks by itself"
    )

    def __post_init__(self) -> None:
        """Refuses permissions and addresses that are none."""
        super().__post_init__()
        octal = re.fullmatch("[0-7]{3}", self.edge_socket_mode)
        self.allow("edge_socket_mode", octal, "three octal digits such as 660")
        self.allow("edge_burst", self.edge_burst >= 0, "0 or more")
        for name, scheme in (("edge_server", "https?"), ("edge_varnish", "http")):
            url = re.fullmatch(rf"({scheme}://[^/?#@\s]+)?", getattr(self, name))
            self.allow(name, url, "http://host:port without a path, or nothing")
        host = re.fullmatch(r"[\w.:\[\]-]*", self.edge_site, re.ASCII)
        self.allow("edge_site", host, "a host as clients name it, www.example.com, or nothing")
