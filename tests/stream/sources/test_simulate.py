"""The simulator: a valid, ordered, repeatable stream with the statistics of its parameters."""

from collections import Counter, defaultdict
from itertools import islice

import msgspec
import numpy as np
import pytest

from stream.sources.messages import EVENTS, Limited, SourceError
from stream.sources.parameters import load
from stream.sources.simulate import START, Simulation
from tests.stream.sources.branching_reference import draw_cascade
from topics.catalogue import CATALOGUE, SOCIAL_EVENTS

FLAT = [1.0] * 24


def drawn(source, count=None):
    messages = [m for batch in (source if count is None else Limited(source, count)) for m in batch]
    return messages, [CATALOGUE[m.topic].codec.decode(m.value) for m in messages]


def only(population, rhythm=None):
    changed = msgspec.structs.replace(population, rhythm=rhythm or population.rhythm)
    return msgspec.structs.replace(load(), populations=[changed])


@pytest.fixture(scope="module")
def stream():
    return drawn(Simulation(seed=3, cascades_per_second=0.5, requests_per_second=40), 60_000)


def test_every_message_is_valid_and_in_order(stream):
    messages, records = stream
    times = [message.timestamp for message in messages]
    assert times == sorted(times)
    assert times[0] >= START
    for message, record in zip(messages, records, strict=True):
        key = record.cascade_id if message.topic == EVENTS else record.edge_id
        assert message.key == key.encode()
        assert message.timestamp == record.timestamp
    assert {message.topic for message in messages} == {"social.events", "edge.requests"}


def test_events_follow_their_parents_and_have_ids_of_their_own(stream):
    events = [r for m, r in zip(*stream, strict=True) if m.topic == EVENTS]
    seen = {}
    for event in events:
        assert event.event_id not in seen
        seen[event.event_id] = event
        if event.kind == "post":
            assert event.parent_id is None
            continue
        parent = seen[event.parent_id]
        assert parent.cascade_id == event.cascade_id
        assert parent.user_id == event.parent_user_id
        assert parent.timestamp <= event.timestamp
        assert parent.content_id == event.content_id


def test_requests_are_for_what_was_shared_or_in_the_catalogue(stream):
    shared = set()
    requests = Counter()
    for message, record in zip(*stream, strict=True):
        if message.topic == EVENTS:
            shared.add(record.content_id)
            continue
        kind = record.object_id.partition("/")[0]
        requests[kind] += bool(shared)  # before the first share there is only the catalogue
        assert kind == "catalogue" or record.object_id in shared
    driven = load().requests.driven
    assert abs(requests["content"] / requests.total() - driven) < 0.01


def test_edges_have_tastes_of_their_own(stream):
    edges = defaultdict(Counter)
    for message, record in zip(*stream, strict=True):
        if message.topic != EVENTS:
            edges[record.edge_id][record.object_id] += 1
            assert record.client_id.startswith(record.edge_id)
    assert sorted(edges) == [f"edge-{number}" for number in range(4)]
    popular = {edge: {item for item, _ in counts.most_common(20)} for edge, counts in edges.items()}
    assert len(set.union(*popular.values())) > 30


def test_the_seed_decides_everything():
    source = Simulation(seed=5)
    first = list(islice(source, 20))
    assert first == list(islice(source, 20))
    assert first == list(islice(Simulation(seed=5), 20))
    assert first != list(islice(Simulation(seed=6), 20))


def test_a_stream_of_a_given_number_of_cascades_ends_when_they_do():
    messages, events = drawn(Simulation(cascades=40, requests_per_second=0))
    assert len({event.cascade_id for event in events}) == 40
    roots = {event.cascade_id: event.timestamp for event in events if event.kind == "post"}
    ages = [event.timestamp - roots[event.cascade_id] for event in events]
    assert max(ages) <= load().lifetime + 0.01
    assert len(messages) > 40


@pytest.mark.parametrize("population", load().populations, ids=lambda p: p.name)
def test_the_compiled_process_is_the_obvious_one(population):
    """Sizes, delays and depths of 1,500 cascades, against the recursion, by quantiles."""
    lifetime = load().lifetime
    random = np.random.default_rng(11)
    reference = [draw_cascade(population, lifetime, random) for _ in range(600)]
    source = Simulation(
        seed=2, cascades=600, requests_per_second=0, parameters=only(population, FLAT)
    )
    cascades = defaultdict(list)
    depths = {}
    for event in drawn(source)[1]:
        depth = depths[event.event_id] = depths[event.parent_id] + 1 if event.parent_id else 0
        cascades[event.cascade_id].append((event.timestamp, depth))

    def summary(cascades):
        """Size, median delay and mean depth of each cascade, and its events in an hour."""
        rows = []
        for events in cascades:
            times, depth = np.array(events).T
            delays = times - times[0]
            rows.append((len(events), np.median(delays), depth.mean(), (delays < 3600).sum()))
        return np.log1p(np.array(rows, float).T)

    found, expected = summary(cascades.values()), summary(reference)
    for values, wanted in zip(found, expected, strict=True):
        # Two samples of one law: their distribution functions differ by less than 1.95
        # sqrt(2 / 600) with a probability of 99.9 %. Seeds are fixed, so this never flickers.
        grid = np.sort(np.concatenate([values, wanted]))
        gaps = np.searchsorted(np.sort(values), grid, "right") - np.searchsorted(
            np.sort(wanted), grid, "right"
        )
        assert np.abs(gaps).max() / 600 < 1.95 * (2 / 600) ** 0.5


@pytest.mark.parametrize("population", load().populations, ids=lambda p: p.name)
def test_cascades_have_the_fitted_sizes_and_shape(population):
    """Within the bounds that docs/simulator.md states."""
    source = Simulation(seed=1, cascades=1_000, requests_per_second=0, parameters=only(population))
    sizes, direct = Counter(), Counter()
    for event in drawn(source)[1]:
        sizes[event.cascade_id] += 1
        direct[event.cascade_id] += event.parent_id == f"{event.cascade_id}:0"
    median = np.median(list(sizes.values()))
    assert 0.75 * population.size.median < median < 1.35 * population.size.median
    law = population.reshares
    share = 1 - law.alpha / (law.alpha + law.beta) if law else 1.0
    found = np.mean([direct[c] / (size - 1) for c, size in sizes.items() if size > 1])
    assert abs(found - share) < 0.08


def test_nights_are_quiet():
    population = load().populations[0]
    source = Simulation(
        cascades_per_second=0.003, requests_per_second=0, parameters=only(population)
    )
    hours = np.zeros(24)
    for batch in source:
        for message in batch:
            if message.timestamp >= START + 6 * 86_400:
                break
            if message.timestamp >= START + 2 * 86_400:  # after the empty beginning
                hours[int(message.timestamp // 3600 % 24)] += 1
        else:
            continue
        break
    correlation = np.corrcoef(hours, population.rhythm)[0, 1]
    assert correlation > 0.9


def test_memory_is_bounded_and_what_finds_no_room_is_counted():
    source = Simulation(
        cascades_per_second=5, requests_per_second=0, most_pending=1 << 16, most_live=1 << 12
    )
    messages, _ = drawn(source, 300_000)
    assert source.cut > 0
    assert source.refused > 0
    assert len(messages) == 300_000
    times = [message.timestamp for message in messages]
    assert times == sorted(times)
    assert len({SOCIAL_EVENTS.codec.decode(m.value).event_id for m in messages}) == len(messages)


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": -1},
        {"edges": 0},
        {"cascades_per_second": -0.5},
        {"requests_per_second": float("nan")},
        {"cascades_per_second": 0, "requests_per_second": 0},
        {"cascades": 5, "requests_per_second": 1},
        {"cascades": 0, "requests_per_second": 0},
    ],
)
def test_arguments_outside_their_bounds_are_refused(arguments):
    with pytest.raises(SourceError):
        Simulation(**arguments)


def test_a_wrong_parameter_file_is_refused_by_its_field(tmp_path):
    file = tmp_path / "parameters.json"
    content = msgspec.json.decode(msgspec.json.encode(load()))
    content["requests"]["driven"] = 1.5
    file.write_bytes(msgspec.json.encode(content))
    with pytest.raises(SourceError, match=r"requests\.driven"):
        load(file)
    content["requests"]["driven"] = 0.5
    for population in content["populations"]:
        population["weight"] = 0
    file.write_bytes(msgspec.json.encode(content))
    with pytest.raises(SourceError, match="weights of 0"):
        load(file)
