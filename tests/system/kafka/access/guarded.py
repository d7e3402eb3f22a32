"""A broker of Apache Kafka that knows who asks, and allows what access control lists say.

Its own listener, at which it is asked by whoever runs it, is open; parties come in at another, each
by its name and password.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from aiokafka.protocol.api import Request

from deploy.apache_kafka import programs
from deploy.apache_kafka.broker import CLIENTS, Broker, running
from stream.kafka.access.acls import Acl, acls
from stream.kafka.broker import connect_admin
from stream.settings import Settings, load
from tests.patience import PATIENCE
from tests.system import environment

PASSWORD = "correct-horse-battery-staple"
_OWN = "INSIDE"  # where the broker's own clients come in, who are nobody and may do anything
_MECHANISM = "SCRAM-SHA-512"
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_PROPERTIES = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "listener.security.protocol.map": (
        f"{_OWN}:PLAINTEXT,CONTROLLER:PLAINTEXT,{CLIENTS}:SASL_PLAINTEXT"
    ),
    "sasl.enabled.mechanisms": _MECHANISM,
    f"listener.name.{CLIENTS.lower()}.{_MECHANISM.lower()}.sasl.jaas.config": _LOGIN,
}
# A line of the broker's audit: who was allowed or refused what, and by which list.
_AUDIT = re.compile(
    r"Principal = User:(?P<party>\S+) is (?P<verdict>Allowed|Denied) operation = (?P<asked>\w+) "
    r".*? on resource = (?P<kind>\w+):LITERAL:(?P<name>\S+) for request = (?P<request>\w+) "
    r".*?based on rule (?P<rule>.*)"
)
_LIST = re.compile(
    r"resourceType=(?P<kind>\w+), resourceName='?(?P<name>[^',]+)'?, patternType=(?P<pattern>\w+)"
    r".*?operation=(?P<operation>\w+)"
)


# As the protocol numbers them (Kafka's AclOperation, ResourceType, PatternType, AclPermissionType).
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_RESOURCES = {"topic": 2, "group": 3}
_PATTERNS = {"literal": 3, "prefixed": 4}
_ALLOW = 3


class Refusal(NamedTuple):
    """What a broker did not allow."""

    party: str
    operation: str
    kind: str
    name: str
    request: str


class Guarded:
    """A broker with users and access control lists.

    Attributes:
        own: settings of who runs the broker, who may do anything.
    """

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.own = Settings(kafka=broker.node.address(_OWN))
        self._broker = broker
        self._folder = folder
        self._programs = folder / "bin"
        programs.write(self._programs)

    def settings(self, party: str, **changes: object) -> Settings:
        """Those of a party that comes in by its name."""
        given = {
            "kafka": self._broker.address, "kafka_security": "sasl_plaintext",
            "kafka_username": party, "kafka_password": PASSWORD,
        }  # fmt: skip
        return load(environment={}, **(given | changes))

    def run(self, script: str, settings: Settings | None = None) -> str:
        """What a script of the shell says, with tidecast and Kafka's programs on its path.

        Args:
            settings: of tidecast; None: of who runs the broker.
        """
        path = os.pathsep.join(
            (str(self._programs), str(Path(sys.executable).parent), os.environ["PATH"])
        )
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=self._folder,
            env={**environment.environment(settings or self.own), "PATH": path},
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def allow(self, acls: Iterable[Acl]) -> None:
        """Adds what is on the lists."""
        await self._ask(CreateAclsRequest, acls)

    async def forbid(self, acls: Iterable[Acl]) -> None:
        """Takes it off them."""
        await self._ask(DeleteAclsRequest, acls)

    async def _ask(self, request: type[Request[Any]], acls: Iterable[Acl]) -> None:
        admin = await connect_admin(self.own)
        try:
            for acl in acls:
                answer = await admin._send_request(request(*_as_numbers(acl)))
                _, outcomes = answer.to_object().popitem()
                assert all(outcome["error_code"] == 0 for outcome in outcomes), (acl, outcomes)
        finally:
            await admin.close()

    def refusals(self) -> list[Refusal]:
        """What was refused so far."""
        return [
            Refusal(line["party"], line["asked"], line["kind"], line["name"], line["request"])
            for line in self._audit()
            if line["verdict"] == "Denied"
        ]

    def used(self) -> set[Acl]:
        """The lists by which anybody was allowed anything so far."""
        known = {_folded(acl): acl for acl in acls(Settings())}
        found = set()
        for line in self._audit():
            by = _LIST.search(line["rule"])
            # A right to read allows to describe as well, and that does not prove it necessary.
            if by is not None and by["operation"] == line["asked"]:
                spelled = (line["party"], by["operation"], by["kind"], by["name"], by["pattern"])
                found.add(known[_fold(spelled)])
        return found

    def _audit(self) -> Iterator[re.Match[str]]:
        with self._broker.log.open() as lines:
            for line in lines:
                if found := _AUDIT.search(line):
                    yield found


def _as_numbers(acl: Acl) -> tuple[int | str, ...]:
    return (
        _RESOURCES[acl.resource], acl.name, _PATTERNS[acl.pattern], f"User:{acl.party}", "*",
        _OPERATIONS[acl.operation], _ALLOW,
    )  # fmt: skip


def _folded(acl: Acl) -> tuple[str, ...]:
    return _fold((acl.party, acl.operation, acl.resource, acl.name, acl.pattern))


def _fold(words: Iterable[str]) -> tuple[str, ...]:
    """As both Kafka's programs and its audit can be compared."""
    return tuple(word.replace("_", "").lower() for word in words)


@contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    """A broker that knows each party of the catalogue by its name, and allows nothing yet."""
    users = dict.fromkeys(acl.party for acl in acls(Settings()))
    told = [
        word
        for user in users
        for word in ("--add-scram", f"{_MECHANISM}=[name={user},password={PASSWORD}]")
    ]
    with running(folder, more=_PROPERTIES, format_with=told) as cluster:
        yield Guarded(cluster.brokers[0], folder)
