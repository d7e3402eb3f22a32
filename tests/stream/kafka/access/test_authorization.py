"""Refusals in words; which topics a broker hides, `system/kafka/access/test_acls.py` asks one."""

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from stream.kafka.access.authorization import told, worded
from stream.settings import Settings

OURS = Settings(kafka_username="tracker")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TopicAuthorizationFailedError("a.b"), "(topic: a.b)"),
        (TopicAuthorizationFailedError({"c.d", "a.b"}), "(topic: a.b, c.d)"),
        (TopicAuthorizationFailedError(), "(topic)"),
        (GroupAuthorizationFailedError("g"), "(consumer group: g)"),
        (ClusterAuthorizationFailedError(), "(cluster)"),
    ],
)
def test_what_is_not_allowed_is_told_with_what_to_do(error, told):
    found = worded(OURS, error)
    assert "do not allow 'tracker' what this needs " + told in found
    assert "tidecast topics acls" in found


def test_who_we_are_as_far_as_we_know():
    error = GroupAuthorizationFailedError("g")
    assert "the owner of kafka_cert_file" in worded(Settings(kafka_cert_file="a"), error)
    assert "allow us" in worded(Settings(), error)


def test_another_error_is_another_matter():
    assert worded(OURS, UnknownTopicOrPartitionError()) is None
    assert worded(OURS, ValueError()) is None


def test_any_error_is_told():
    assert "tidecast topics acls" in told(OURS, GroupAuthorizationFailedError("g"))
    assert told(OURS, TimeoutError()) == "TimeoutError"
    assert told(OURS, ValueError("no")) == "no"
