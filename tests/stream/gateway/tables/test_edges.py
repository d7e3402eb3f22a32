"""What the gateway holds of edges."""

from __future__ import annotations

import math

from stream.gateway.tables.edges import EdgeTable
from tests.stream.gateway.conftest import decision, epoch
from topics.catalogue import decision_key


def test_ratios_are_weighed_by_requests_and_repeats_are_passed_over() -> None:
    table = EdgeTable(10, 10)
    for _ in range(2):
        table.take_epoch(epoch(number=1, requests=100, hit_ratio=0.2))
        table.take_epoch(epoch(number=2, requests=300, hit_ratio=0.6))
    row = table.page(0, 10).items[0]
    assert (row.epochs, row.requests) == (2, 400)
    assert math.isclose(row.hit_ratio, 0.5)
    assert math.isclose(row.lru_hit_ratio, 0.4)


def test_decisions_come_go_and_expire() -> None:
    table = EdgeTable(10, 10)
    table.take_decision(decision("/a", score=1.0))
    table.take_decision(decision("/b", score=3.0))
    table.take_decision(decision("/old", expires_at=2_400.0))
    table.take_withdrawal(decision_key("edge-0", "/a"))
    assert table.take_withdrawal(decision_key("edge-0")) is None
    assert table.edge("edge-0", "", 0, 10) is None, "no epoch yet"
    table.take_epoch(epoch(number=7))  # ends at 2,400
    edge = table.edge("edge-0", "", 0, 10)
    assert edge is not None
    assert [one.object_id for one in edge.decisions] == ["/b"]
    assert table.decisions == 1


def test_decisions_are_listed_best_first_by_page_and_name() -> None:
    table = EdgeTable(10, 100)
    table.take_epoch(epoch())
    for i in range(20):
        table.take_decision(decision(f"/v/{i}", score=float(i)))
    edge = table.edge("edge-0", "/V/1", 1, 3)
    assert edge is not None
    assert [one.object_id for one in edge.decisions] == ["/v/18", "/v/17", "/v/16"]
    assert (edge.total, edge.note) == (11, "")


def test_bounds_hold_and_are_said() -> None:
    table = EdgeTable(3, 50)
    for i in range(6):
        table.take_epoch(epoch(f"edge-{i}"))
        for j in range(20):
            table.take_decision(decision(f"/{j}", f"edge-{i}"))
        assert table.decisions <= 50
    assert [row.edge_id for row in table.page(0, 10).items] == ["edge-3", "edge-4", "edge-5"]
    edge = table.edge("edge-5", "", 0, 10)
    assert edge is not None and "keeps 50 decisions" in edge.note
    for i in range(1_000):
        table.take_epoch(epoch("edge-5", number=10 + i))
    edge = table.edge("edge-5", "", 0, 10)
    assert edge is not None and len(edge.epochs) == 288
