"""How a Kafka client shows who it is, and is sure of whom it speaks with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stream.secret import Secret
from stream.settings.domain import Domain, setting


@dataclass(frozen=True)
class KafkaSecurity(Domain):
    """How a client and its brokers know each other; on loopback nothing of it is needed."""

    heading: ClassVar[str] = "Kafka among strangers"

    kafka_security: str = setting("plaintext", "plaintext, tls, sasl_plaintext or sasl_tls")
    kafka_sasl_mechanism: str = setting(
        "SCRAM-SHA-512", "SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or PLAIN"
    )
    kafka_username: str = setting("", "of SASL; with OAUTHBEARER the client's id")
    kafka_password: Secret = setting(
        Secret(), "of SASL; with OAUTHBEARER the client's secret; from the environment alone"
    )
    kafka_password_file: str = setting("", "a file that holds the password instead")
    kafka_token_url: str = setting("", "https://... that gives OAUTHBEARER its tokens")
    kafka_token_scope: str = setting("", "what the tokens are asked for; empty: as the server has")
    kafka_token_ca_file: str = setting("", "PEM, who vouches for that server; empty: the system's")
    kafka_ca_file: str = setting("", "PEM, who vouches for the brokers; empty: the system's")
    kafka_cert_file: str = setting("", "PEM, our certificate, for brokers that ask for one")
    kafka_key_file: str = setting("", "PEM, the key of our certificate, without a passphrase")
