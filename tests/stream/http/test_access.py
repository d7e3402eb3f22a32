"""Who may ask over HTTP, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.http.access import AccessError, Rates, access
from stream.secret import Secret
from stream.settings import HTTP_SERVERS, Settings, SettingsError, load

TOKEN = "planted-token-0123456789abcdef"
GIVEN = {"http_token": Secret(TOKEN)}


def answered(settings: Settings, server: str = "gateway", **asked: Any) -> int:
    """The status of a request; 200 where nothing refuses it."""
    whole = {"client": "1.2.3.4", "host": "127.0.0.1:80", "authorization": "", "now": 0.0} | asked
    refusal = access(settings, server).refusal(**whole)
    if refusal is not None:
        assert TOKEN not in repr(refusal)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize("server", HTTP_SERVERS)
def test_everything_is_on_loopback_unless_told_otherwise(server: str) -> None:
    assert getattr(Settings(), HTTP_SERVERS[server]) == "127.0.0.1"
    assert answered(Settings(), server) == 200


@pytest.mark.parametrize("server", HTTP_SERVERS)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "gateway.example"])
def test_nothing_is_open_to_others_unless_somebody_says_so(server: str, host: str) -> None:
    elsewhere = {HTTP_SERVERS[server]: host}
    with pytest.raises(AccessError, match=rf"http_token_file.*http_open = {server}"):
        access(Settings(**elsewhere), server)
    assert answered(Settings(**elsewhere, http_open=(server,)), server) == 200
    assert answered(Settings(**elsewhere, **GIVEN), server) == 401
    others = tuple(set(HTTP_SERVERS) - {server})
    with pytest.raises(AccessError):
        access(Settings(**elsewhere, http_open=others), server)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_in_all_its_spellings_needs_no_token(host: str) -> None:
    assert answered(Settings(http_host=host)) == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        ("Bearer \udcff", 401),
        ("", 401),
    ],
)
def test_the_token_and_nothing_else_lets_in(authorization: str, status: int) -> None:
    for host in ("127.0.0.1", "0.0.0.0"):  # where a token is set it is asked for, also on loopback
        asked = answered(Settings(http_host=host, **GIVEN), authorization=authorization)
        assert asked == status


def test_what_is_public_needs_no_token() -> None:
    assert answered(Settings(**GIVEN), public=True) == 200


def test_a_token_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    settings = Settings(http_host="0.0.0.0", http_token_file=str(file))
    assert answered(settings, authorization=f"Bearer {TOKEN}") == 200
    assert answered(settings) == 401


@pytest.mark.parametrize(
    "token", ["short", "with a space in the middle of it", "ünprintable-ünd-long"]
)
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(AccessError, match="openssl rand -hex 32") as told:
        access(Settings(http_token=Secret(token)), "gateway")
    assert token not in str(told.value)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("LOCALHOST.:8080", 200),
        ("[::1]:8080", 200),
        ("10.1.2.3:9100", 200),
        ("evil.example", 400),
        ("evil.example:8080", 400),
        ("127.0.0.1.evil.example", 400),
        ("[evil.example]", 400),
        ("", 200),  # a probe by HTTP/1.0; what runs in a browser cannot leave it out
    ],
)
def test_a_page_of_another_site_gets_nowhere_by_a_name_of_its_own(host: str, status: int) -> None:
    assert answered(Settings(), host=host) == status
    assert answered(Settings(http_host="0.0.0.0", http_open=("gateway",)), host=host) == status


def test_names_may_be_added_and_a_token_stands_for_any() -> None:
    named = Settings(http_hosts=("Gateway", "tidecast.example"))
    assert answered(named, host="gateway:80") == answered(named, host="tidecast.example") == 200
    assert answered(named, host="evil.example") == 400
    assert answered(Settings(http_hosts=("*",)), host="evil.example") == 200
    shown = {"host": "any.example", "authorization": f"Bearer {TOKEN}"}
    assert answered(Settings(**GIVEN), **shown) == 200
    assert answered(Settings(http_hosts=("gateway",), **GIVEN), **shown) == 400


def test_guesses_are_bounded_by_the_rate() -> None:
    guarded = access(Settings(http_rate=1.0, **GIVEN), "gateway")
    guesses = [guarded.refusal("1.2.3.4", "a", f"Bearer {i}", 0.0) for i in range(100)]
    assert [guess.status for guess in guesses if guess].count(401) == 4


def test_an_unknown_server_is_refused() -> None:
    with pytest.raises(SettingsError, match="http_open: got everything; expected some of gateway"):
        load(environment={"TIDECAST_HTTP_OPEN": "everything"})


# ------------------------------------------------------------------ rates


def test_a_burst_passes_and_then_the_rate() -> None:
    rates = Rates(10.0)
    assert [rates.wait("a", 0.0) for _ in range(40)] == [0.0] * 40
    assert 0 < rates.wait("a", 0.0) <= 0.1
    assert rates.wait("b", 0.0) == 0.0, "another address is not held back"
    passed = sum(rates.wait("a", 1.0 + i / 1_000) == 0.0 for i in range(1_000))
    assert 18 <= passed <= 20


def test_no_rate_lets_everything_through() -> None:
    rates = Rates(0.0)
    assert all(rates.wait("a", 0.0) == 0.0 for _ in range(10_000))


def test_addresses_are_forgotten_rather_than_kept_for_ever() -> None:
    rates = Rates(1.0)
    for i in range(30_000):
        rates.wait(str(i), 0.0)
    assert len(rates._buckets) == 10_000
