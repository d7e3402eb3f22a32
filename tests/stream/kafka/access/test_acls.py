"""Who needs what on the brokers; the system test of the same name asks Apache Kafka itself."""

import pytest

from stream.gateway import roles
from stream.kafka.access.acls import (
    COMMANDS,
    FURTHER_GROUPS,
    OPERATORS,
    Acl,
    PartyError,
    acls,
    slug,
)
from stream.scorer.calibrator import GROUP
from stream.settings import Settings
from topics.catalogue import CATALOGUE, READS

ALL = acls(Settings())
TOPICS = pytest.mark.parametrize("topic", CATALOGUE.values(), ids=list(CATALOGUE))


@TOPICS
def test_who_reads_and_writes_by_the_catalogue_may(topic):
    for operation, parties in (("Read", topic.readers), ("Write", topic.writers)):
        for party in {*parties} - {OPERATORS}:
            assert Acl(slug(party), operation, "topic", topic.name) in ALL


@TOPICS
def test_nobody_else_writes_but_operators_commands(topic):
    writers = {a.party for a in ALL if (a.operation, a.name) == ("Write", topic.name)}
    assert writers - COMMANDS.keys() == {slug(party) for party in topic.writers} - {OPERATORS}


@TOPICS
def test_what_operators_read_and_write_a_command_may(topic):
    for operation, parties in (("Read", topic.readers), ("Write", topic.writers)):
        by = {a.party for a in ALL if (a.operation, a.name) == (operation, topic.name)}
        assert OPERATORS not in parties or by & COMMANDS.keys()


def test_each_role_has_its_consumer_groups_alone():
    assert FURTHER_GROUPS == {"scorer": (GROUP,)}
    found = acls(Settings(group_prefix="mine"))
    joined = {(a.party, a.name) for a in found if (a.operation, a.resource) == ("Read", "group")}
    assert joined == {(role, f"mine.{role}") for role in READS} | {
        ("scorer", f"mine.{GROUP}"), ("social-platforms", "social-platforms."),
    }  # fmt: skip


def test_the_gateway_looks_at_what_roles_work_off():
    assert tuple(READS) == roles.ROLES
    for role, topics in READS.items():
        assert set(roles.reads(role)) == set(topics)
        assert {Acl("gateway", "Read", "topic", name) for name in topics} <= set(ALL)


def test_each_is_told_once_and_by_its_party():
    assert len(set(ALL)) == len(ALL)
    assert acls(Settings(), ["heart", "tracker"]) == [
        *(a for a in ALL if a.party == "heart"), *(a for a in ALL if a.party == "tracker"),
    ]  # fmt: skip


def test_a_party_that_there_is_not():
    with pytest.raises(PartyError, match="'nobody'; known are tracker, historian"):
        acls(Settings(), ["nobody"])
