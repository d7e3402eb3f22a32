"""What docker-compose.yml says of its broker, as the properties that a broker takes.

So does the broker of the overlay of Kubernetes for development, which is of the same image.

The image turns each variable of its environment into a property by a rule of names. The same rule
is applied here; what belongs to the machine (addresses, ports, folders) and to a cluster of more
than one (voters, copies) is put in the place of Compose's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

_ROOT = Path(__file__).resolve().parents[2]
COMPOSE = _ROOT / "docker-compose.yml"
KUBERNETES = _ROOT / "deploy" / "kubernetes" / "overlays" / "development" / "kafka.yaml"

# Variables that the image's scripts read, and no property.
_OF_SCRIPTS = {
    "KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_JMX_OPTS", "KAFKA_GC_LOG_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_LOG4J_OPTS",
}  # fmt: skip
_SEPARATORS = {"___": "-", "__": "_", "_": "."}
# What one broker has to hold alone, and three hold among them.
_COPIES = (
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "share.coordinator.state.topic.replication.factor",
)
_IN_SYNC = (
    "min.insync.replicas",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.min.isr",
)


@dataclass(frozen=True)
class Service:
    """Compose's broker.

    Attributes:
        image: its image, name and tag.
        environment: what its container gets.
        probe: the command that tells whether it is well.
    """

    image: str
    environment: Mapping[str, str]
    probe: tuple[str, ...]

    @property
    def cluster_id(self) -> str:
        """The id that its storage is formatted with."""
        return self.environment["CLUSTER_ID"]

    @property
    def heap(self) -> list[str]:
        """Options of its virtual machine."""
        return self.environment["KAFKA_HEAP_OPTS"].split()


@functools.cache
def compose() -> Service:
    """The broker of docker-compose.yml."""
    service = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]
    _, *probe = service["healthcheck"]["test"]
    return Service(service["image"], service["environment"], tuple(probe))


@functools.cache
def kubernetes() -> dict[str, str]:
    """The environment of the broker of the overlay of Kubernetes for development."""
    (kafka,) = (
        found["spec"]["template"]["spec"]["containers"][0]
        for found in yaml.safe_load_all(KUBERNETES.read_text())
        if found["kind"] == "StatefulSet"
    )
    return {variable["name"]: variable["value"] for variable in kafka["env"]}


def of_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The properties that the image makes of an environment.

    Args:
        environment: variables; `KAFKA_A_B` is the property `a.b`, two underscores stand for one,
            three for a hyphen.

    >>> of_environment({"KAFKA_LOG_DIRS": "/data", "KAFKA_HEAP_OPTS": "-Xmx1g", "HOME": "/"})
    {'log.dirs': '/data'}
    """
    return {
        re.sub("_{1,3}", lambda found: _SEPARATORS[found[0]], name[6:].lower()): value
        for name, value in environment.items()
        if name.startswith("KAFKA_") and name not in _OF_SCRIPTS
    }


@dataclass(frozen=True)
class Node:
    """Where one broker of a cluster is.

    Attributes:
        number: its id, from 1.
        ports: a port of the loopback address for each listener: those that Compose names, at least.
        folder: for its log.
    """

    number: int
    ports: Mapping[str, int]
    folder: Path

    def address(self, listener: str) -> str:
        """Where a listener of it is, as host:port."""
        return f"127.0.0.1:{self.ports[listener]}"


def listeners(environment: Mapping[str, str]) -> list[str]:
    """The names of the listeners of a broker."""
    return _names(of_environment(environment)["listeners"])


def of_node(
    node: Node,
    cluster: Iterable[Node],
    more: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The properties of a broker of a cluster, for this machine.

    Args:
        node: the broker.
        cluster: all of its brokers, itself among them.
        more: properties in the place of these, or beside them.
        environment: that of the broker's container; Compose's when not given.
    """
    given = of_environment(compose().environment if environment is None else environment)
    nodes = list(cluster)
    controller = given["controller.listener.names"]
    voters = ",".join(f"{other.number}@{other.address(controller)}" for other in nodes)
    copies = dict.fromkeys(_COPIES, str(len(nodes))) | dict.fromkeys(
        _IN_SYNC, str(len(nodes) // 2 + 1)
    )
    return (
        given
        | (copies if len(nodes) > 1 else {})
        | {
            "node.id": str(node.number),
            "controller.quorum.voters": voters,
            "listeners": _listed(node, node.ports),
            "advertised.listeners": _listed(node, (n for n in node.ports if n != controller)),
            "log.dirs": str(node.folder),
        }
        | more
    )


def _names(listed: str) -> list[str]:
    return [address.partition("://")[0] for address in listed.split(",")]


def _listed(node: Node, names: Iterable[str]) -> str:
    return ",".join(f"{name}://{node.address(name)}" for name in names)


def write(properties: Mapping[str, str], path: Path) -> None:
    """Writes them as a broker reads them."""
    # The format takes a backslash for the beginning of an escape.
    lines = (f"{name}={value}".replace("\\", "\\\\") for name, value in sorted(properties.items()))
    path.write_text("".join(f"{line}\n" for line in lines))
