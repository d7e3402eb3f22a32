"""Every client of the product over TLS and SASL, and what it says where a broker refuses it."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from stream.doctor.checks import examine
from stream.kafka.broker import BrokerError, create_topics_now, partitions
from stream.local.embedded import embedded
from stream.settings import Settings, load
from stream.sources.feed import connect, feed
from stream.sources.messages import Limited
from stream.sources.simulate import Simulation
from tests.patience import PATIENCE
from tests.system.brokers import APACHE, BROKERS
from tests.system.conftest import Cluster
from tests.system.kafka.access.native import Issuer, Listener, native
from tests.system.kafka.front import Front
from tests.token_server import TokenServer
from topics.catalogue import CASCADE_SNAPSHOTS, EDGE_REQUESTS, POPULARITY_FORECASTS, SOCIAL_EVENTS

pytestmark = [pytest.mark.system, pytest.mark.both]

PASSWORD = "correct-horse-battery-staple"
WRONG = "planted-wrong-password"
USERS = {"tracker": PASSWORD}
SASL = {"kafka_username": "tracker", "kafka_password": PASSWORD}

Way = Front | Listener


class Authority:
    """Who vouches for the broker and for us, as files.

    Attributes:
        files: settings that name its certificate.
        ours: and those that name a certificate for us.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        folder.mkdir()
        self.authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        client = self.authority.issue_cert("tidecast@example.org")
        client.private_key_pem.write_to_path(str(folder / "key.pem"))
        client.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
        self.files = {"kafka_ca_file": str(folder / "ca.pem")}
        self.ours = {
            "kafka_cert_file": str(folder / "cert.pem"),
            "kafka_key_file": str(folder / "key.pem"),
        }

    def server(self, asks: bool = False) -> ssl.SSLContext:
        """TLS of a server at 127.0.0.1; with `asks` clients need a certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "one")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def tokens(authority: Authority, issuer: Issuer) -> Iterator[TokenServer]:
    with TokenServer(USERS, sign=issuer.token).running(authority.server()) as server:
        yield server


@pytest.fixture(scope="module")
def ways(
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
    tokens: TokenServer,
    issuer: Issuer,
) -> Iterator[tuple[str, Mapping[str, Way]]]:
    """Where a broker is reached that asks nothing, and where by what it asks."""
    folder = tmp_path_factory.mktemp("broker")
    with contextlib.ExitStack() as stack:
        if BROKERS.kind == APACHE:
            address, made = stack.enter_context(native(folder, authority.authority, USERS, issuer))
        else:
            address, _ = stack.enter_context(embedded(folder))
            made = stack.enter_context(before(address, authority, tokens))
        create_topics_now(Settings(kafka=address))
        yield address, made


@contextlib.contextmanager
def before(broker: str, authority: Authority, tokens: TokenServer) -> Iterator[dict[str, Front]]:
    """Fronts before a broker that has no TLS and SASL of its own."""
    users = USERS
    made = {
        "tls": Front(broker, authority.server()),
        "mutual": Front(broker, authority.server(asks=True)),
        "scram": Front(broker, None, users),
        "scram_tls": Front(broker, authority.server(), users),
        "plain_tls": Front(broker, authority.server(), users, ("PLAIN",)),
        "oauth": Front(broker, authority.server(), None, ("OAUTHBEARER",), tokens.accepts),
        "other_oauth": Front(broker, authority.server(), None, ("OAUTHBEARER",), lambda _: False),
        "bare": Front(broker),
    }
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(front.running()) for name, front in made.items()}


@pytest.fixture
def broker(ways: tuple[str, Mapping[str, Way]]) -> str:
    return ways[0]


@pytest.fixture
def fronts(ways: tuple[str, Mapping[str, Way]]) -> Mapping[str, Way]:
    return ways[1]


@pytest.fixture
def given(fronts: Mapping[str, Way], authority: Authority, tokens: TokenServer) -> Any:
    """Settings for a front, by what it is to be asked with."""

    def settings(front: str, security: str, **more: Any) -> Settings:
        values: dict[str, Any] = {"kafka": fronts[front].address, "kafka_security": security}
        if security.endswith("tls"):
            values |= authority.files
        if more.get("kafka_sasl_mechanism") == "OAUTHBEARER":
            values |= {
                "kafka_token_url": tokens.url,
                "kafka_token_ca_file": authority.files["kafka_ca_file"],
            }
        return load(environment={}, **(values | more))

    return settings


WAYS = {
    "tls": ("tls", "tls", {}),
    "scram_256": ("scram", "sasl_plaintext", {"kafka_sasl_mechanism": "SCRAM-SHA-256"} | SASL),
    "scram_512_tls": ("scram_tls", "sasl_tls", SASL),
    "plain_tls": ("plain_tls", "sasl_tls", {"kafka_sasl_mechanism": "PLAIN"} | SASL),
    "oauth": ("oauth", "sasl_tls", {"kafka_sasl_mechanism": "OAUTHBEARER"} | SASL),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_comes_in(given: Any, fronts: Mapping[str, Way], way: str) -> None:
    front, security, more = WAYS[way]
    settings = given(front, security, **more)
    assert len(await partitions(settings, [SOCIAL_EVENTS.name])) == settings.partitions
    producer = await connect(settings, [SOCIAL_EVENTS.name])
    await producer.send_and_wait(SOCIAL_EVENTS.name, b"{}", key=b"a")
    await producer.stop()
    came_in_by(fronts[front], {settings.kafka_sasl_mechanism} if "sasl" in security else set())


def came_in_by(way: Way, mechanisms: set[str]) -> None:
    """By which mechanisms clients came in, where a front has seen it; a listener knows but one."""
    if isinstance(way, Front):
        assert set(way.authenticated) == mechanisms


async def test_a_client_shows_its_certificate_where_it_is_asked_for(
    given: Any, authority: Authority
) -> None:
    assert await partitions(given("mutual", "tls", **authority.ours), [SOCIAL_EVENTS.name])
    with pytest.raises(BrokerError, match="kafka_cert_file"):
        await partitions(given("mutual", "tls"), [SOCIAL_EVENTS.name])


REFUSED = {
    "another password": (
        "scram_tls", "sasl_tls", SASL | {"kafka_password": WRONG},
        "refused 'tracker' by SCRAM-SHA-512; look at kafka_username and kafka_password",
    ),
    "nobody of that name": (
        "scram", "sasl_plaintext", SASL | {"kafka_username": "nobody"}, "refused 'nobody'",
    ),
    "another password in plain": (
        "plain_tls", "sasl_tls", SASL | {"kafka_sasl_mechanism": "PLAIN", "kafka_password": WRONG},
        "refused 'tracker' by PLAIN",
    ),
    "a mechanism it does not know": (
        "scram_tls", "sasl_tls", SASL | {"kafka_sasl_mechanism": "PLAIN"},
        "does not know PLAIN",
    ),
    "another secret at the token server": (
        "oauth", "sasl_tls",
        SASL | {"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_password": WRONG},
        "refused client 'tracker' .HTTP 401.",
    ),
    "tokens of another": (
        "other_oauth", "sasl_tls", SASL | {"kafka_sasl_mechanism": "OAUTHBEARER"},
        "other tokens than kafka_token_url gives",
    ),
    "a broker nobody here vouches for": (
        "tls", "tls", {"kafka_ca_file": ""}, "certificate is not trusted .*kafka_ca_file",
    ),
    "plain text where TLS is spoken": ("tls", "plaintext", {}, "hung up .*kafka_security"),
    "TLS where plain text is spoken": ("bare", "tls", {}, "TLS|hung up"),
    "no SASL where it is asked for": ("scram_tls", "tls", {}, "hung up .*kafka_security = tls"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_who_is_refused_is_told_why(given: Any, case: str) -> None:
    front, security, more, told = REFUSED[case]
    settings = given(front, security, **more)
    with pytest.raises(BrokerError, match=told) as raised:
        await partitions(settings, [SOCIAL_EVENTS.name])
    with pytest.raises(BrokerError, match=told):
        await connect(settings, [SOCIAL_EVENTS.name])
    assert WRONG not in str(raised.value) and PASSWORD not in str(raised.value)
    findings = await examine(settings)
    assert [f.level for f in findings if "no Kafka broker answers" in f.what] == ["wrong"]


async def test_another_authority_is_not_believed(
    given: Any, tmp_path: Path, authority: Authority
) -> None:
    other = Authority(tmp_path / "other")
    with pytest.raises(BrokerError, match="certificate is not trusted"):
        await partitions(given("tls", "tls", **other.files), [SOCIAL_EVENTS.name])
    with pytest.raises(BrokerError, match="kafka_cert_file"):
        await partitions(given("mutual", "tls", **other.ours), [SOCIAL_EVENTS.name])


async def test_forecasts_come_out_over_tls_and_sasl(
    given: Any, broker: str, fronts: Mapping[str, Way], tmp_path: Path
) -> None:
    """The tracker by SCRAM and the forecaster, which is Faust, by tokens and by SCRAM."""
    scram = given("scram_tls", "sasl_tls", data_dir=tmp_path, shadows=(), **SASL)
    oauth = given(
        "oauth", "sasl_tls", data_dir=tmp_path, shadows=(), kafka_sasl_mechanism="OAUTHBEARER",
        **SASL,
    )  # fmt: skip
    findings = await examine(scram)
    assert {finding.level for finding in findings} == {"ok"}
    assert "the connection to it: TLS, SCRAM-SHA-512 as 'tracker'" in {f.what for f in findings}
    for way in fronts.values():
        if isinstance(way, Front):
            way.authenticated.clear()
    inside = Cluster(Settings(kafka=broker), tmp_path)
    producer = await connect(scram, [SOCIAL_EVENTS.name, EDGE_REQUESTS.name])
    roles = Cluster(scram, tmp_path), Cluster(oauth, tmp_path)
    try:
        tracker = roles[0].start("tracker")
        forecasters = [roles[0].start("forecaster", "1"), roles[1].start("forecaster", "2")]
        await feed(Limited(Simulation(), 3_000), producer)
        await inside.read(CASCADE_SNAPSHOTS, lambda records: len(records) >= 4)
        await inside.read(POPULARITY_FORECASTS, lambda records: len(records) >= 4)
        came_in_by(fronts["scram_tls"], {"SCRAM-SHA-512"})
        came_in_by(fronts["oauth"], {"OAUTHBEARER"})
        for role in (tracker, *forecasters):
            assert role.exit_code is None
            assert PASSWORD not in role.log.read_text()
    finally:
        await producer.stop()
        for cluster in roles:
            cluster.close()


def told_by(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command says with these settings in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "stream", *arguments],
        env={**os.environ, **settings.environment()},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    ["tracker", "forecaster", "gateway", "doctor", "topics create", "dead-letters list",
     "simulate --limit 10"],
)  # fmt: skip
def test_a_command_that_is_refused_says_so_and_ends(
    given: Any, tmp_path: Path, command: str
) -> None:
    settings = given(
        "scram_tls", "sasl_tls", data_dir=tmp_path, http_port=0, **SASL | {"kafka_password": WRONG}
    )
    ended = told_by(settings, *command.split())
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "refused 'tracker' by SCRAM-SHA-512; look at kafka_username and kafka_password" in said
    assert "Traceback" not in said
    assert WRONG not in said
