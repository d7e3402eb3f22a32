"""Where the gateway answers, how much of it, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration


@dataclass(frozen=True)
class Gateway(Domain):
    """The live page and the API."""

    heading: ClassVar[str] = "Gateway"

    http_host: str = setting("127.0.0.1", "address of the gateway; loopback unless told otherwise")
    http_port: int = setting(8080, "of the gateway: the live page and the API; 0: any free one")
    http_rate: float = setting(
        50.0, "requests a second from one address, with bursts of four seconds' worth; 0: any"
    )
    http_streams: int = setting(200, "open streams of server-sent events at most", positive=True)
    gateway_cascades: int = setting(
        50_000, "cascades that the gateway holds; 9 to 18 kB each", positive=True
    )
    gateway_edges: int = setting(
        1_000, "edges that the gateway holds, a day of epochs each", positive=True
    )
    gateway_decisions: int = setting(
        200_000, "decisions that the gateway holds, over all edges", positive=True
    )
    gateway_past: Duration = setting(
        Duration(86_400),
        "how much of the topics' past the gateway reads when it starts",
        positive=True,
    )
    stale_after: Duration = setting(
        Duration(30),
        "lag or silence beyond this is said on the live page and by /api/health",
        positive=True,
    )
