"""Who may ask over HTTP, and how often: names, tokens and rates, for every server of the product.

    gateway     the live page and the API      http_host
    metrics     /metrics of a role             metrics_host
    edge        the agent beside a cache       edge_host

On loopback a server answers whoever is on this machine, under this machine's names alone. Anywhere
else it asks for the bearer token of `http_token` or `http_token_file`, or for the word of its
settings (`http_open`) that it may answer everyone, and does not start without either.

    AccessError(TidecastError, ValueError)    a server would be open that nobody has said may be
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import OrderedDict

from stream.http.problems import Refusal
from stream.secret import Secret, read_secret
from stream.settings import HTTP_SERVERS, Settings
from topics.errors import TidecastError

_FIT = re.compile(r"[!-~]{16,1024}")
_BURST_SECONDS = 4.0
_CLIENTS = 10_000  # whose rate is remembered; the one silent longest is forgotten

# What browsers are told about answers that are data: do not guess, run, frame or pass on.
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class AccessError(TidecastError, ValueError):
    """A server would be open to others, and nobody has said that it may."""


class Rates:
    """A bucket of requests for each client address.

    Args:
        rate: requests a second; 0 lets everything through.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._full = max(1.0, rate * _BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """Seconds until the client may ask (0: it just did), by a clock in seconds."""
        if self._rate <= 0:
            return 0.0
        left, then = self._buckets.get(client, (self._full, now))
        left = min(self._full, left + (now - then) * self._rate)
        allowed = left >= 1.0
        self._buckets[client] = (left - 1.0 if allowed else left, now)
        self._buckets.move_to_end(client)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) / self._rate


class Access:
    """What one server asks of those who ask it.

    Args:
        token: to be shown; empty: none.
        names: host names under which the server is asked; None: any.
        rate: requests a second from one address; 0: any.
    """

    def __init__(self, token: Secret, names: frozenset[str] | None, rate: float) -> None:
        self._token = token
        self._names = names
        self._rates = Rates(rate)

    def refusal(
        self, client: str, host: str, authorization: str, now: float, *, public: bool = False
    ) -> Refusal | None:
        """Why a request is refused; None where it is not.

        Args:
            client: its address.
            host: its Host header; empty where it has none, as HTTP/1.0 allows.
            authorization: its Authorization header.
            now: in seconds, by any clock that goes forward.
            public: what it asks for tells nothing and needs no token.
        """
        wait = self._rates.wait(client, now)
        if wait > 0:
            return Refusal(
                429,
                "too many requests",
                f"ask again in {wait:.2f} s; /api/stream of the gateway tells what is new without "
                "asking",
                {"retry-after": str(math.ceil(wait))},
            )
        if not self._is_ours(host):
            # A page of another site may not reach this server under a name of its own (rebinding).
            return Refusal(
                400,
                "not a name of this server",
                "ask by its address, or list the name in the setting http_hosts",
            )
        if public or not self._token or self._shows_token(authorization):
            return None
        return Refusal(
            401,
            "a token is needed",
            "send it as `Authorization: Bearer ...`; it is the setting http_token",
            {"www-authenticate": "Bearer"},
        )

    def _is_ours(self, host: str) -> bool:
        if self._names is None or not host:  # no browser leaves it out
            return True
        name = _without_port(host)
        return name in self._names or _address(name) is not None

    def _shows_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and self._token.matches(given.strip())


def access(settings: Settings, server: str) -> Access:
    """What a server asks, by the settings.

    Args:
        server: gateway, metrics or edge.

    Raises:
        AccessError: it would be open to others than this machine, and nobody has said it may be;
            or the token is one that can be guessed or not be sent.
        SecretError: the file of the token cannot be read.
    """
    setting = HTTP_SERVERS[server]
    host: str = getattr(settings, setting)
    is_open = server in settings.http_open
    token = read_secret("http_token", settings.http_token, settings.http_token_file)
    if not (is_loopback(host) or token or is_open):
        raise AccessError(
            f"{setting}: {host or 'every address'} is reached from other machines, and no token "
            "is set; set http_token (in the environment) or http_token_file, or keep to "
            f"{setting} = 127.0.0.1, or say that everyone may ask with http_open = {server}"
        )
    if token and not _FIT.fullmatch(token.reveal()):
        raise AccessError(
            "http_token: expected 16 to 1024 letters, digits and signs without spaces, such as "
            "`openssl rand -hex 32` prints"
        )
    if is_open:
        token = Secret()
    # Another site's page has no token to show, so a token stands for the name, unless some are set.
    any_name = "*" in settings.http_hosts or (bool(token) and not settings.http_hosts)
    names = frozenset(name.lower() for name in (*settings.http_hosts, host, "localhost"))
    rate = 0.0 if server == "edge" else settings.http_rate
    return Access(token, None if any_name else names, rate)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _without_port(host: str) -> str:
    """The name of a Host header."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")
