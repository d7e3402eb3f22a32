"""Apache Kafka with TLS and SASL of its own: a listener for each way to come in.

What `tests.system.kafka.front` does before a broker that has neither, a broker does here itself.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from deploy.apache_kafka.broker import CLIENTS, running

_LOGINS = "org.apache.kafka.common.security"
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
# What each listener speaks, and by which mechanisms one says who one is.
_LISTENERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tls": ("SSL", ()),
    "mutual": ("SSL", ()),
    "scram": ("SASL_PLAINTEXT", _SCRAM),
    "scram_tls": ("SASL_SSL", _SCRAM),
    "plain_tls": ("SASL_SSL", ("PLAIN",)),
    "oauth": ("SASL_SSL", ("OAUTHBEARER",)),
    "other_oauth": ("SASL_SSL", ("OAUTHBEARER",)),
}
_JWKS = "sasl.oauthbearer.jwks.endpoint.url"


@dataclass(frozen=True)
class Listener:
    """Where one comes in: host:port."""

    address: str


class Issuer:
    """Signs tokens (JWT, RS256), and says by which key they are known (JWKS)."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)

    def token(self, name: str, life: float) -> str:
        """A token for a client of that name, good for so many seconds."""
        now = time.time()
        claims = {"sub": name, "iat": int(now), "exp": int(now + life)}
        signed = f"{_encoded({'alg': 'RS256', 'kid': 'ours', 'typ': 'JWT'})}.{_encoded(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    def write_keys(self, path: Path) -> str:
        """Writes what tokens are checked by, and gives the URL of it."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA", "kid": "ours", "alg": "RS256", "use": "sig",
            "n": _number(numbers.n), "e": _number(numbers.e),
        }  # fmt: skip
        path.write_text(json.dumps({"keys": [key]}))
        return path.as_uri()


def _encoded(content: Mapping[str, Any]) -> str:
    return _base64(json.dumps(content).encode())


def _number(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8))


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def native(
    folder: Path, authority: trustme.CA, users: Mapping[str, str], issuer: Issuer
) -> Iterator[tuple[str, dict[str, Listener]]]:
    """A broker with a listener for each way: its open address, and the listeners by name."""
    folder.mkdir(parents=True, exist_ok=True)
    urls = {
        "oauth": issuer.write_keys(folder / "keys.json"),
        "other_oauth": Issuer().write_keys(folder / "other-keys.json"),
    }
    told = [
        word
        for name, password in users.items()
        for mechanism in _SCRAM
        for word in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
    ]
    with pytest.MonkeyPatch.context() as patch:
        # A broker reads keys of tokens only from where its virtual machine was told that it may.
        allowed = ",".join(urls.values())
        patch.setenv(
            "JDK_JAVA_OPTIONS", f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={allowed}"
        )
        with running(
            folder / "kafka", listeners=map(str.upper, _LISTENERS), format_with=told,
            more=_properties(folder, authority, users, urls),
        ) as cluster:  # fmt: skip
            (broker,) = cluster.brokers
            listeners = {
                name: Listener(broker.node.address(name.upper())) for name in _LISTENERS
            } | {"bare": Listener(broker.address)}
            yield broker.address, listeners


def _properties(
    folder: Path, authority: trustme.CA, users: Mapping[str, str], urls: Mapping[str, str]
) -> dict[str, str]:
    spoken = {"INSIDE": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", CLIENTS: "PLAINTEXT"} | {
        name.upper(): protocol for name, (protocol, _) in _LISTENERS.items()
    }
    known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    logins = {
        "PLAIN": f"{_LOGINS}.plain.PlainLoginModule required {known};",
        "OAUTHBEARER": f"{_LOGINS}.oauthbearer.OAuthBearerLoginModule required;",
    } | dict.fromkeys(_SCRAM, f"{_LOGINS}.scram.ScramLoginModule required;")
    found = {
        "listener.security.protocol.map": ",".join(f"{a}:{b}" for a, b in spoken.items()),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(_keystore(folder, authority)),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
        "listener.name.mutual.ssl.client.auth": "required",
    }
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, (_, mechanisms) in _LISTENERS.items():
        if mechanisms:
            found[f"listener.name.{name}.sasl.enabled.mechanisms"] = ",".join(mechanisms)
        for mechanism in mechanisms:
            prefix = f"listener.name.{name}.{mechanism.lower()}"
            found[f"{prefix}.sasl.jaas.config"] = logins[mechanism]
            if mechanism == "OAUTHBEARER":
                found[f"{prefix}.sasl.server.callback.handler.class"] = (
                    f"{_LOGINS}.oauthbearer.OAuthBearerValidatorCallbackHandler"
                )
                found[f"listener.name.{name}.{_JWKS}"] = urls[name]
    return found


def _keystore(folder: Path, authority: trustme.CA) -> Path:
    """The broker's key and certificate, the key as PKCS 8, which alone Kafka takes."""
    issued = authority.issue_cert("127.0.0.1", "localhost")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "broker.pem"
    path.write_bytes(b"".join([pem, *(part.bytes() for part in issued.cert_chain_pems)]))
    return path
