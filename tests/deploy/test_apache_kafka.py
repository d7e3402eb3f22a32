"""The properties of the brokers that tests run on are those of docker-compose.yml."""

from pathlib import Path

import pytest

from deploy.apache_kafka import artefacts, properties
from tests.deploy.manifests import FOLDER


@pytest.fixture
def cluster(tmp_path):
    ports = ({"INSIDE": 1 + 3 * n, "CONTROLLER": 2 + 3 * n, "HOST": 3 + 3 * n} for n in range(3))
    return [
        properties.Node(number, own, tmp_path / str(number))
        for number, own in enumerate(ports, start=1)
    ]


def test_the_version_that_is_tested_is_the_one_that_is_deployed():
    image = f"apache/kafka:{artefacts.version()}"
    assert properties.compose().image == image
    assert f"image: {image}\n" in (FOLDER / "overlays/development/kafka.yaml").read_text()


def test_names_become_properties_as_in_the_image():
    told = {"KAFKA_A_B": "1", "KAFKA_A__B": "2", "KAFKA_A___B": "3", "KAFKA_OPTS": "4", "A_B": "5"}
    assert properties.of_environment(told) == {"a.b": "1", "a_b": "2", "a-b": "3"}


def test_one_broker_has_composes_properties_but_for_where_it_is(cluster):
    given = properties.of_environment(properties.compose().environment)
    made = properties.of_node(cluster[0], cluster[:1], {})
    assert made.keys() == given.keys()
    assert {name for name in made if made[name] != given[name]} == {
        "controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs",
    }  # fmt: skip
    assert made["listeners"] == "INSIDE://127.0.0.1:1,CONTROLLER://127.0.0.1:2,HOST://127.0.0.1:3"
    assert made["advertised.listeners"] == "INSIDE://127.0.0.1:1,HOST://127.0.0.1:3"


def test_three_hold_every_record_three_times_and_two_suffice(cluster):
    made = properties.of_node(cluster[1], cluster, {"message.max.bytes": "1000"})
    assert made["node.id"] == "2"
    assert made["controller.quorum.voters"] == "1@127.0.0.1:2,2@127.0.0.1:5,3@127.0.0.1:8"
    assert made["offsets.topic.replication.factor"] == "3"
    assert made["min.insync.replicas"] == "2"
    assert made["message.max.bytes"] == "1000"


def test_they_are_written_as_a_broker_reads_them(tmp_path):
    properties.write({"b": "a\\nb", "a": "x=y"}, tmp_path / "p")
    assert Path(tmp_path / "p").read_text() == "a=x=y\nb=a\\\\nb\n"


def test_the_overlay_has_composes_broker_but_for_the_hosts_listener():
    compose, overlay = properties.compose().environment, properties.kubernetes()
    assert overlay.keys() == compose.keys()
    assert {name for name in compose if compose[name] != overlay[name]} == {
        "CLUSTER_ID", "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
    }  # fmt: skip
    for name in ("KAFKA_LISTENERS", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"):
        there, here = compose[name].split(","), overlay[name].split(",")
        assert here == [one for one in there if not one.startswith("HOST:")]
