"""What is asked of the broker about each role."""

from __future__ import annotations

import pytest

from stream.gateway.roles import ROLES, reads
from stream.scorer import role as scorer
from topics.catalogue import CASCADE_SNAPSHOTS, EDGE_REQUESTS, EDGE_WINDOWS, SOCIAL_EVENTS

WORKED_OFF = {
    "tracker": [SOCIAL_EVENTS],
    "historian": [EDGE_REQUESTS],
    "forecaster": [CASCADE_SNAPSHOTS],
    "ranker": [EDGE_WINDOWS],
    # Not its ledger and not its scores, of which its group commits nothing: they would be lag for
    # as long as they are kept.
    "scorer": list(scorer.READ),
}


@pytest.mark.parametrize("role", ROLES)
def test_the_lag_of_a_role_is_on_what_its_group_commits(role: str) -> None:
    assert sorted(reads(role)) == sorted(topic.name for topic in WORKED_OFF[role])
