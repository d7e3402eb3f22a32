"""Settings of Kafka's security: what fits together, and the options that come of it."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from stream.kafka.access.security import KafkaSecurityError, connection, on_loopback, shown
from stream.secret import Secret, SecretError
from stream.settings import Settings

ROOT = Path(__file__).resolve().parents[4]
SECRET = "planted-secret-51c0"
SASL = {"kafka_security": "sasl_tls", "kafka_username": "t", "kafka_password": Secret(SECRET)}


def test_plain_text_is_what_it_was() -> None:
    assert connection(Settings(kafka="a:1")) == {
        "bootstrap_servers": "a:1",
        "security_protocol": "PLAINTEXT",
    }


def test_tls_checks_names_and_certificates() -> None:
    options = connection(Settings(kafka_security="tls"))
    context = options["ssl_context"]
    assert options["security_protocol"] == "SSL"
    assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
def test_a_password_is_given_to_the_client_alone(mechanism: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    given = SASL | {"kafka_password": Secret(), "kafka_password_file": str(file)}
    settings = Settings(kafka_sasl_mechanism=mechanism, **given)
    options = connection(settings)
    assert options["sasl_plain_password"] == SECRET
    assert options["sasl_mechanism"] == mechanism
    assert mechanism in shown(settings) and SECRET not in shown(settings)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown security": ({"kafka_security": "ssl"}, "expected one of plaintext, tls"),
    "unknown mechanism": (
        SASL | {"kafka_sasl_mechanism": "GSSAPI"}, "expected one of SCRAM-SHA-256",
    ),
    "a certificate without key": (
        {"kafka_security": "tls", "kafka_cert_file": "c"}, "go together",
    ),
    "a password that nothing sends": (
        SASL | {"kafka_security": "plaintext"}, "kafka_username, kafka_password: without effect",
    ),
    "an authority that nothing asks": (
        {"kafka_ca_file": "ca.pem"}, "kafka_ca_file: without effect .* set kafka_security to tls",
    ),
    "nobody": (SASL | {"kafka_username": ""}, "needs kafka_username and kafka_password"),
    "no password": (SASL | {"kafka_password": Secret()}, "needs kafka_username"),
    "a password in the clear": (
        SASL | {"kafka_security": "sasl_plaintext", "kafka_sasl_mechanism": "PLAIN"},
        "would show the secret",
    ),
    "a token server without tokens": (
        SASL | {"kafka_token_url": "https://a/"}, "belong to OAUTHBEARER",
    ),
    "tokens from nowhere": (
        SASL | {"kafka_sasl_mechanism": "OAUTHBEARER"}, "expected the https://",
    ),
    "tokens in the clear": (
        SASL | {"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_token_url": "http://tokens.example/"},
        "expected the https://",
    ),
    "a secret in an address": (
        SASL | {
            "kafka_sasl_mechanism": "OAUTHBEARER",
            "kafka_token_url": f"https://t:{SECRET}@tokens.example/",
        },
        "expected the https://",
    ),
    "an authority that is not there": (
        {"kafka_security": "tls", "kafka_ca_file": "/none.pem"}, "gives no certificates",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_together_is_refused(case: str) -> None:
    given, told = WRONG[case]
    with pytest.raises(KafkaSecurityError, match=told) as raised:
        connection(Settings(**given))
    assert SECRET not in str(raised.value)


def test_a_key_with_a_passphrase_is_refused_and_not_asked_about(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    made = trustme.CA().issue_cert("a@example.org")
    key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    (tmp_path / "key.pem").write_bytes(locked)
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    ours = {
        "kafka_cert_file": str(tmp_path / "cert.pem"),
        "kafka_key_file": str(tmp_path / "key.pem"),
    }
    with pytest.raises(KafkaSecurityError, match="without a passphrase"):
        connection(Settings(kafka_security="tls", **ours))


def test_a_password_file_that_is_missing_is_refused() -> None:
    given = SASL | {"kafka_password": Secret(), "kafka_password_file": "/none"}
    with pytest.raises(SecretError, match="kafka_password_file: /none cannot be read"):
        connection(Settings(**given))


def test_brokers_elsewhere_are_told_from_those_here() -> None:
    assert on_loopback(Settings(kafka="127.0.0.1:9092,localhost:9093"))
    assert not on_loopback(Settings(kafka="127.0.0.1:9092,kafka-1:9092"))


def test_no_client_names_a_broker_otherwise() -> None:
    """Every aiokafka client of the product takes its options from `connection`."""
    made = re.compile(r"AIOKafka(?:Consumer|Producer|AdminClient)\(\s*([^\s,)]*)")
    found = 0
    for file in sorted((ROOT / "stream").rglob("*.py")):
        text = file.read_text()
        for call in made.finditer(text):
            found += 1
            assert call[1].startswith("**connection("), f"{file.name}: {call[0]}"
        if file != ROOT / "stream" / "kafka" / "access" / "security.py":
            assert "bootstrap_servers" not in text, file
    assert found > 5
