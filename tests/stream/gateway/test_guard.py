"""The rate of requests that one address may make."""

from __future__ import annotations

from stream.gateway.guard import Rates


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
