"""Who may ask the servers of the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stream.secret import Secret
from stream.settings.domain import Domain, setting
from stream.settings.spelling import SettingsError

# The servers of the product, and the setting of each one's address.
HTTP_SERVERS = {"gateway": "http_host", "metrics": "metrics_host", "edge": "edge_host"}


@dataclass(frozen=True)
class HttpAccess(Domain):
    """Tokens and names; on loopback nothing of it is needed."""

    heading: ClassVar[str] = "HTTP among strangers"

    http_token: Secret = setting(
        Secret(), "asked for by servers that are not on loopback alone; from the environment alone"
    )
    http_token_file: str = setting("", "a file that holds the token instead")
    http_open: tuple[str, ...] = setting(
        (), "servers that answer everyone without a token: gateway, metrics, edge"
    )
    http_hosts: tuple[str, ...] = setting(
        (), "names under which servers are asked, beside addresses and localhost; *: any"
    )

    def __post_init__(self) -> None:
        """Refuses servers that there are not."""
        super().__post_init__()
        if not set(self.http_open) <= HTTP_SERVERS.keys():
            raise SettingsError(
                f"http_open: got {', '.join(self.http_open)}; expected some of "
                f"{', '.join(HTTP_SERVERS)}"
            )
