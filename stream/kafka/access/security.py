"""How every Kafka client of the product connects: brokers, TLS and SASL, from the settings.

    settings -> connection() -> options of an aiokafka consumer, producer or administration client

Nothing else names a broker to a client. What fits together is checked here, and here is found out
why a broker would not have us, which aiokafka only logs.

    KafkaSecurityError(TidecastError, ValueError)    settings that contradict each other or name
                                                     what cannot be read; says what to do
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from stream.kafka.access.oauth import TokenError, provider
from stream.secret import read_secret
from stream.settings import Settings
from topics.errors import TidecastError

# As the settings spell it, and as Kafka does.
PROTOCOLS = {
    "plaintext": "PLAINTEXT",
    "tls": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_tls": "SASL_SSL",
}
MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "PLAIN")
_PROBE_MS = 20_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class KafkaSecurityError(TidecastError, ValueError):
    """Settings of Kafka's security that do not fit together, or name what cannot be read."""


def connection(settings: Settings) -> dict[str, Any]:
    """The options by which an aiokafka client finds the brokers and trusts them, and they it.

    Raises:
        KafkaSecurityError, SecretError: the settings do not fit together, or a file of theirs
            cannot be read.
    """
    check(settings)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": PROTOCOLS[settings.kafka_security],
    }
    if settings.kafka_security.endswith("tls"):
        options["ssl_context"] = _tls(settings)
    if settings.kafka_security.startswith("sasl"):
        options |= _sasl(settings)
    return options


def check(settings: Settings) -> None:
    """Sees that the settings of Kafka's security fit together.

    Raises:
        KafkaSecurityError: they do not; says what to do.
    """
    security, mechanism = settings.kafka_security, settings.kafka_sasl_mechanism
    if security not in PROTOCOLS:
        raise KafkaSecurityError(
            f"kafka_security: got {security!r}; expected one of {', '.join(PROTOCOLS)}"
        )
    if mechanism not in MECHANISMS:
        raise KafkaSecurityError(
            f"kafka_sasl_mechanism: got {mechanism!r}; expected one of {', '.join(MECHANISMS)}"
        )
    if bool(settings.kafka_cert_file) != bool(settings.kafka_key_file):
        raise KafkaSecurityError("kafka_cert_file and kafka_key_file go together; give both")
    _refuse_idle(settings, "tls", ("kafka_ca_file", "kafka_cert_file", "kafka_key_file"))
    _refuse_idle(
        settings,
        "sasl",
        (
            "kafka_username", "kafka_password", "kafka_password_file",
            "kafka_token_url", "kafka_token_scope", "kafka_token_ca_file",
        ),
    )  # fmt: skip
    if security.startswith("sasl"):
        _check_sasl(settings)


def _refuse_idle(settings: Settings, part: str, names: tuple[str, ...]) -> None:
    """Refuses settings that `kafka_security` leaves without effect: they were meant to protect."""
    if part in settings.kafka_security:
        return
    idle = [name for name in names if getattr(settings, name)]
    if idle:
        fitting = " or ".join(name for name in PROTOCOLS if part in name)
        raise KafkaSecurityError(
            f"{', '.join(idle)}: without effect while kafka_security is "
            f"{settings.kafka_security}; set kafka_security to {fitting}"
        )


def _check_sasl(settings: Settings) -> None:
    mechanism, tokens = settings.kafka_sasl_mechanism, settings.kafka_token_url
    if not settings.kafka_username or not (settings.kafka_password or settings.kafka_password_file):
        raise KafkaSecurityError(
            f"{settings.kafka_security} with {mechanism} needs kafka_username and kafka_password "
            "or kafka_password_file (with OAUTHBEARER: the id and the secret of the client)"
        )
    if settings.kafka_security == "sasl_plaintext" and not mechanism.startswith("SCRAM"):
        raise KafkaSecurityError(
            f"{mechanism} over sasl_plaintext would show the secret to whoever listens; set "
            "kafka_security to sasl_tls, or kafka_sasl_mechanism to SCRAM-SHA-512"
        )
    if mechanism != "OAUTHBEARER":
        if tokens or settings.kafka_token_scope or settings.kafka_token_ca_file:
            raise KafkaSecurityError(
                f"kafka_token_url, kafka_token_scope and kafka_token_ca_file belong to "
                f"OAUTHBEARER; kafka_sasl_mechanism is {mechanism}"
            )
        return
    parts = urlsplit(tokens)
    allowed = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not allowed or not parts.hostname or parts.username or parts.password:
        # Not printed: what is wrong with it may be that it holds a secret.
        raise KafkaSecurityError(
            "kafka_token_url: expected the https:// address of a token server, without a user or "
            "password in it (http:// on loopback alone)"
        )


def _sasl(settings: Settings) -> dict[str, Any]:
    secret = read_secret("kafka_password", settings.kafka_password, settings.kafka_password_file)
    mechanism = settings.kafka_sasl_mechanism
    if mechanism != "OAUTHBEARER":
        return {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": secret.reveal(),
        }
    return {
        "sasl_mechanism": mechanism,
        "sasl_oauth_token_provider": provider(
            settings.kafka_token_url,
            settings.kafka_username,
            secret,
            settings.kafka_token_scope,
            settings.kafka_token_ca_file,
        ),
    }


def _tls(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 or newer that checks the broker's name and certificate."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise KafkaSecurityError(
            f"kafka_ca_file: {settings.kafka_ca_file} gives no certificates ({error}); expected "
            "a PEM file of those who vouch for the brokers"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.kafka_cert_file:
        try:
            # A key with a passphrase would be asked for on the terminal.
            context.load_cert_chain(
                settings.kafka_cert_file, settings.kafka_key_file, password=lambda: ""
            )
        except (OSError, ValueError) as error:
            raise KafkaSecurityError(
                f"kafka_cert_file, kafka_key_file: {settings.kafka_cert_file} and "
                f"{settings.kafka_key_file} cannot be used ({error}); expected a certificate and "
                "its key in PEM, the key without a passphrase"
            ) from error
    return context


# ------------------------------------------------------------------ why a broker does not answer


class Silence(NamedTuple):
    """Why none of the brokers would talk to us.

    Attributes:
        why: of each broker, in words, and what to do.
        passing: whether it may pass by itself, as a wrong password does not.
    """

    why: str
    passing: bool


async def why_not(settings: Settings) -> Silence:
    """Why none of the brokers would talk to us. Asks each once more."""
    options = dict(connection(settings))
    found, passing = [], True
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers"), randomize=False):
        try:
            asked = await create_conn(host, port, request_timeout_ms=_PROBE_MS, **options)
            try:
                # A client certificate or a token is refused only now.
                answer = await asked.send(MetadataRequest([]))
            finally:
                asked.close()
            if answer.brokers:
                found.append(f"{host}:{port}: answers now; try again")
            else:
                # aiokafka takes a token for accepted whatever is answered to it, and Apache Kafka
                # has no words for a question from somebody whose token it refused.
                passing = False
                silence = KafkaConnectionError("it tells of no brokers")
                found.append(f"{host}:{port}: {_worded(settings, silence)}")
        except (KafkaError, OSError) as error:
            passing &= isinstance(error, ConnectionRefusedError | TimeoutError)
            found.append(f"{host}:{port}: {_worded(settings, error)}")
    return Silence("; ".join(found), passing)


def _worded(settings: Settings, error: Exception) -> str:
    security, mechanism = settings.kafka_security, settings.kafka_sasl_mechanism
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"it refused {settings.kafka_username!r} by {mechanism}; look at kafka_username and "
            "kafka_password or kafka_password_file"
        )
    if isinstance(error, TokenError):
        return str(error)
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not know {mechanism} ({error}); set kafka_sasl_mechanism to one it knows"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); name the PEM file of who "
            "vouches for it with kafka_ca_file"
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"it and we do not agree on TLS ({error.reason or error}); does this port speak TLS, "
            "and does it ask for a certificate (kafka_cert_file, kafka_key_file)?"
        )
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return f"no answer within {_PROBE_MS // 1000} s to kafka_security = {security}"
    told = str(error) or type(error).__name__
    if isinstance(error, KafkaError | ConnectionError):
        return (
            f"it hung up ({told}); it may expect something else than kafka_security = {security}"
            + (", or a certificate of ours (kafka_cert_file)" if security.endswith("tls") else "")
            + (", or other tokens than kafka_token_url gives" if mechanism == "OAUTHBEARER" else "")
        )
    return told


def shown(settings: Settings) -> str:
    """What guards the connection, in words, without secrets."""
    parts: Mapping[str, str] = {
        "plaintext": "neither encrypted nor authenticated",
        "tls": "TLS",
        "sasl_plaintext": f"{settings.kafka_sasl_mechanism}, not encrypted",
        "sasl_tls": f"TLS, {settings.kafka_sasl_mechanism}",
    }
    name = f" as {settings.kafka_username!r}" if settings.kafka_username else ""
    ours = ", with a certificate of ours" if settings.kafka_cert_file else ""
    return parts[settings.kafka_security] + name + ours


def on_loopback(settings: Settings) -> bool:
    """Whether every broker named is on this machine."""
    return all(host in _LOOPBACK for host, _, _ in collect_hosts(settings.kafka, randomize=False))
