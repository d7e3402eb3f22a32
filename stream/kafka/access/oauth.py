"""Tokens for SASL OAUTHBEARER, by the client credentials grant (RFC 6749, section 4.4).

Clients of one process share a provider, whatever thread and event loop they live in, and with it
the token, which is fetched anew before it expires.

    TokenError(TidecastError, KafkaError)    the token server gave none; retriable, so that a
                                             client that has been connected goes on trying
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from stream.secret import Secret
from topics.errors import TidecastError

_TIMEOUT = 30.0
_LONGEST_ANSWER = 65_536
_DEFAULT_LIFE = 300.0  # seconds, of a token that does not say
_MARGIN = 60.0  # a token is renewed this long before its end, or
_MARGIN_SHARE = 0.2  # this share of its life, whichever is less


class TokenError(TidecastError, KafkaError):
    """The token server gave no token."""

    retriable = True


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The client's secret goes to the address of the settings and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class ClientCredentials(AbstractTokenProvider):
    """Fetches tokens with the id and the secret of a client, and keeps one until it is old.

    Args:
        url: of the token server.
        client: its id.
        secret: of the client.
        scope: asked for; empty leaves it to the server.
        ca_file: PEM of who vouches for the server; empty: the system's.
    """

    def __init__(self, url: str, client: str, secret: Secret, scope: str, ca_file: str) -> None:
        self._url = url
        self._client = client
        self._secret = secret
        self._scope = scope
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if urlsplit(url).scheme == "https":
            try:
                context = ssl.create_default_context(cafile=ca_file or None)
            except OSError as error:
                raise TokenError(
                    f"kafka_token_ca_file: {ca_file} gives no certificates ({error}); expected PEM"
                ) from error
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0  # by time.monotonic()

    async def token(self) -> str:
        """A token that is good for a while yet.

        Raises:
            TokenError: the server gave none.
        """
        return await asyncio.to_thread(self._current)

    def _current(self) -> str:
        with self._lock:
            if time.monotonic() >= self._renew_at:
                token, life = self._fetch()
                self._token = token
                self._renew_at = time.monotonic() + life - min(_MARGIN, _MARGIN_SHARE * life)
            return self._token

    def _fetch(self) -> tuple[str, float]:
        """A new token and its life in seconds."""
        form = {"grant_type": "client_credentials"} | (
            {"scope": self._scope} if self._scope else {}
        )
        pair = f"{quote_plus(self._client)}:{quote_plus(self._secret.reveal())}"
        request = urllib.request.Request(
            self._url,
            data=urlencode(form).encode(),
            headers={
                "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
                "Accept": "application/json",
            },
        )
        server = urlsplit(self._url).netloc
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                content = json.loads(answer.read(_LONGEST_ANSWER))
            token, life = content["access_token"], float(content.get("expires_in", _DEFAULT_LIFE))
            if not isinstance(token, str) or not token or not life > 0:
                raise ValueError("the token is empty or has expired")
        except urllib.error.HTTPError as error:
            error.close()
            raise TokenError(
                f"the token server {server} refused client {self._client!r} (HTTP {error.code}); "
                "look at kafka_username, kafka_password or kafka_password_file, and "
                "kafka_token_scope"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Not what it said: that may be half a token.
            reason = getattr(error, "reason", None) or type(error).__name__
            raise TokenError(
                f"the token server {server} gave no token ({reason}); look at kafka_token_url and "
                "kafka_token_ca_file"
            ) from None
        return token, life


@functools.lru_cache(maxsize=8)
def provider(url: str, client: str, secret: Secret, scope: str, ca_file: str) -> ClientCredentials:
    """The one provider of this process for these credentials."""
    return ClientCredentials(url, client, secret, scope, ca_file)
