"""Tokens of a server on loopback: kept, renewed in time; failures are told without secrets."""

from __future__ import annotations

import asyncio

import pytest

from stream.kafka.access import oauth
from stream.kafka.access.oauth import ClientCredentials, TokenError, provider
from stream.secret import Secret
from tests.clock import Clock
from tests.token_server import TokenServer

SECRET = "planted: secret/%+"


def client(url: str, secret: str = SECRET, scope: str = "") -> ClientCredentials:
    return ClientCredentials(url, "tide cast", Secret(secret), scope, "")


async def test_a_token_is_kept_while_it_is_good_and_shared() -> None:
    with TokenServer({"tide cast": SECRET}).running() as server:
        asked = client(server.url, scope="kafka")
        tokens = await asyncio.gather(*[asked.token() for _ in range(8)])
        assert set(tokens) == {"token-1-kafka"} and server.accepts(tokens[0])
        assert provider(server.url, "a", Secret("b"), "", "") is provider(
            server.url, "a", Secret("b"), "", ""
        )


async def test_a_token_is_renewed_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock().read_by(monkeypatch, oauth)
    given = TokenServer({"tide cast": SECRET}, life=100.0, clock=lambda: clock.now)
    with given.running() as server:
        asked = client(server.url)
        seen = []
        for _ in range(80):
            seen.append(await asked.token())
            assert server.accepts(seen[-1])  # never one that has expired
            clock.now += 5.0
        # For four fifths of its life a token is kept.
        assert [seen.count(token) for token in dict.fromkeys(seen)] == [16] * 5


async def test_a_refusal_says_what_to_look_at_and_shows_no_secret() -> None:
    refused = pytest.raises(TokenError, match=r"refused client 'tide cast' \(HTTP 401\)")
    with TokenServer({"tide cast": "another"}).running() as server, refused as told:
        await client(server.url).token()
    assert SECRET not in str(told.value) and told.value.retriable


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", b"{}", b'{"access_token": ""}', b'{"access_token": "t", "expires_in": -1}'],
)
async def test_an_answer_without_a_token_is_refused(answer: bytes) -> None:
    with TokenServer({"tide cast": SECRET}).running() as server:
        server.answer = answer
        with pytest.raises(TokenError, match="gave no token"):
            await client(server.url).token()


async def test_a_redirect_does_not_carry_the_secret_elsewhere() -> None:
    with (
        TokenServer({"tide cast": SECRET}).running() as elsewhere,
        TokenServer({"tide cast": SECRET}).running() as server,
    ):
        server.redirect = elsewhere.url
        with pytest.raises(TokenError, match="HTTP 302"):
            await client(server.url).token()
        assert (server.requests, elsewhere.requests) == (1, 0)


async def test_a_server_that_is_not_there_is_told_and_asked_again_later() -> None:
    with TokenServer({"tide cast": SECRET}).running() as server:
        url = server.url
    with pytest.raises(TokenError, match="gave no token"):
        await client(url).token()
