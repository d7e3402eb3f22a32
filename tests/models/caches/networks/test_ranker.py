"""The networks behind rankers: whole histories against steps, training, caches and files."""

import itertools

import numpy as np
import pytest
import torch

from models.caches.decayed import DecayedCountRanker
from models.caches.mamba_step import CompiledCacheMamba, shapes
from models.caches.model import RANKERS, CacheMamba
from models.caches.networks.cachemamba import CacheMambaNetwork
from models.caches.networks.material import Histories, RankerMaterial
from models.caches.networks.rank_transformer import TransformerNetwork
from models.caches.networks.ranker import RankerNetwork, TorchStepper, _missed
from models.caches.neural import NeuralCache
from models.caches.request_history import TAUS, WIDTH, RequestHistory
from models.caches.stepper import HORIZONS, Config, Stepper
from models.caches.training import train_ranker
from models.caches.workload import TooFewRequestsError, workload
from models.data.datasets import RequestTrace
from models.judging import ranking
from models.learning.loop import Schedule

QUICK = Schedule(epochs=2, patience=5, averaged=0.5, again=1, rate=1e-2)
SMALL = Config(every=100, width=8, state=4, history=4)


def _requests(count: int = 6_000, objects: int = 80, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    drawn = random.zipf(1.2, count) % objects + (np.arange(count) // 2_000) * 10
    return np.unique(drawn, return_inverse=True)[1].astype(np.int32)


@pytest.fixture(scope="module")
def trained() -> dict[str, object]:
    return {name: train_ranker(name, [_requests()], 0, SMALL, QUICK) for name in RANKERS}


def _noisy(name: str):
    """A network whose answers depend on everything that it reads."""
    network = RANKERS[name].untrained(SMALL, 0)
    torch.nn.init.normal_(network.correct.weight)
    return network


def stepper_of(name: str, network: RankerNetwork) -> Stepper:
    """The network as caches of that name step it."""
    return RANKERS[name].of(network).stepper


@pytest.mark.parametrize(
    ("name", "network"), [("cachemamba", CacheMambaNetwork), ("transformer", TransformerNetwork)]
)
def test_a_kind_is_trained_as_its_network(name: str, network: type[RankerNetwork]) -> None:
    assert isinstance(RANKERS[name].untrained(SMALL, 0), network)


def test_the_compiled_step_is_the_step() -> None:
    network = _noisy("cachemamba")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    compiled, reference = stepper_of("cachemamba", network), TorchStepper(network)
    assert isinstance(compiled, CompiledCacheMamba)
    random = np.random.default_rng(1)
    mine, theirs = compiled.start(7), reference.start(7)
    for _ in range(12):
        features = 3 * random.normal(size=(7, WIDTH)).astype(np.float32)
        elapsed = (random.random(7) * 3 + 0.01).astype(np.float32)
        alone, _ = compiled.step(features[2:3], [part[2:3] for part in mine], elapsed[2:3])
        before = [part.copy() for part in mine]
        got, stepped = compiled.step(features, mine, elapsed)
        for kept, was in zip(mine, before, strict=True):
            np.testing.assert_array_equal(kept, was)
        expected, theirs = reference.step(features, theirs, elapsed)
        mine = stepped
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(alone[0], got[2], "an object alone is as among others")
        for one, two in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


def test_shapes_are_those_of_the_network() -> None:
    for config in (SMALL, Config(), Config(width=24, layers=2)):
        network = RANKERS["cachemamba"].untrained(config, 0)
        found = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        assert found == shapes(config)


@pytest.mark.parametrize("name", RANKERS)
def test_steps_give_what_the_whole_history_gives(name):
    network = _noisy(name)
    random = torch.Generator().manual_seed(1)
    features = torch.randn(30, WIDTH, generator=random)
    elapsed = torch.rand(30, generator=random) * 3 + 0.01
    offsets = np.array([0, 11, 11, 13, 30])
    expected = network(features, offsets, elapsed)
    assert expected.shape == (30, len(HORIZONS), len(TAUS))
    for first, last in itertools.pairwise(offsets):
        memory = network.start(1)
        for t in range(first, last):
            got, memory = network.step(features[t : t + 1], memory, elapsed[t : t + 1])
            torch.testing.assert_close(got[0], expected[t], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", RANKERS)
def test_a_step_depends_on_elapsed_time_and_on_the_past(name):
    network = _noisy(name)
    features = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1))
    offsets = np.array([0, 2])

    def last(features, elapsed):
        return network(features, offsets, torch.tensor(elapsed))[-1]

    now = last(features, [1.0, 0.1])
    assert not torch.allclose(now, last(features, [1.0, 50.0]))
    assert not torch.allclose(now, last(torch.stack([-features[0], features[1]]), [1.0, 0.1]))


@pytest.mark.parametrize("name", RANKERS)
def test_an_untrained_network_leaves_the_prior_alone(name):
    network = RANKERS[name].untrained(SMALL, 0)
    weights = network(torch.randn(3, WIDTH), np.array([0, 3]), torch.ones(3))
    assert torch.equal(weights, network.prior.expand(3, -1, -1))
    # Its mixture for a horizon is mostly the count of that time constant.
    for row, horizon in zip(network.prior, HORIZONS, strict=True):
        assert TAUS[int(row.argmax())] == horizon


def test_histories_are_those_that_a_cache_steps_through():
    requests = _requests(1_000)
    histories = Histories(requests, 300)  # the last hundred are in no step
    history, told = RequestHistory(), {}
    for start in (0, 300, 600):
        history.record(requests[start : start + 300])
        objects, features, elapsed = history.step()
        assert objects.tolist() == sorted(set(requests[start : start + 300].tolist()))
        for row, item in enumerate(objects.tolist()):
            told.setdefault(item, []).append((features[row], elapsed[row]))
    for item, steps in told.items():
        own = slice(histories.offsets[item], histories.offsets[item + 1])
        np.testing.assert_array_equal(histories.features[own], [f for f, _ in steps])
        np.testing.assert_array_equal(histories.elapsed[own], [e for _, e in steps])


def test_a_query_knows_the_past_and_its_target_the_future():
    requests, ends = _requests(4_000), [*range(100, 4_001, 100)]
    histories = Histories(requests, 100)
    query = histories.queries[3]
    assert query.clock > 400 and query.objects.tolist() == sorted(set(requests[: query.clock]))
    history = RequestHistory()
    history.record(requests[: query.clock])
    np.testing.assert_allclose(query.shares, history.shares(query.objects), rtol=1e-6)
    # The latest step of each object by then.
    windows = [set(requests[a:b]) for a, b in itertools.pairwise([0, *ends])]
    done = ends.index(query.clock) + 1
    for item, row in zip(query.objects.tolist(), query.rows.tolist(), strict=True):
        steps = sum(item in window for window in windows[:done])
        assert row == histories.offsets[item] + steps - 1
    target = histories.targets(query, 3_000).numpy()
    ahead = requests[query.clock : 3_000]
    for h, horizon in enumerate(HORIZONS):
        worth = np.exp(-np.arange(1, ahead.size + 1) / horizon)
        expected = [worth[ahead == item].sum() / worth.sum() for item in query.objects]
        np.testing.assert_allclose(target[:, h], expected, rtol=1e-5, atol=1e-9)


def test_a_block_answers_for_its_objects_as_the_whole_does():
    histories = Histories(_requests(4_000), 100)
    network = _noisy("cachemamba")
    material = RankerMaterial([(histories, 0, 4_000)])
    everything = network(
        torch.from_numpy(histories.features), histories.offsets, torch.from_numpy(histories.elapsed)
    )
    chosen = np.arange(len(histories.offsets) - 1) % 3 == 0
    query = histories.queries[5]
    observed, _ = histories.observe([query], [histories.targets(query, 4_000)], chosen)
    part = network(observed.features, observed.offsets, observed.elapsed)[observed.rows[0]]
    inside = chosen[query.objects]
    torch.testing.assert_close(part, everything[query.rows[inside]], rtol=1e-4, atol=1e-4)
    assert len(list(material.blocks(np.random.default_rng(0)))) == len(material)


@pytest.mark.parametrize("name", RANKERS)
def test_training_lowers_the_loss_and_can_be_repeated(name, trained):
    model, found = trained[name]
    histories = Histories(_requests(), 100)
    late = RankerMaterial([(histories, 4_500, 6_000)]).validation()
    begun = RANKERS[name].untrained(SMALL, 0)
    begun.fit_inputs(histories.features)
    with torch.no_grad():
        assert found["validation_loss"] < begun.validation_loss(late)
    again, _ = train_ranker(name, [_requests()], 0, SMALL, QUICK)
    for key, value in model.weights.items():
        np.testing.assert_array_equal(value, again.weights[key])


@pytest.mark.parametrize("name", RANKERS)
def test_a_saved_model_comes_back(name, trained, tmp_path):
    model, _ = trained[name]
    model.save(tmp_path)
    back = RANKERS[name].load(tmp_path, "7")
    assert back.version == "7" and back.config == back.stepper.config == SMALL
    for key, value in model.weights.items():
        np.testing.assert_array_equal(value, back.weights[key])
    (tmp_path / "config.json").write_bytes(
        (tmp_path / "config.json").read_bytes().replace(b"log age", b"log rage")
    )
    with pytest.raises(ValueError, match="other inputs"):
        RANKERS[name].load(tmp_path, "7")


@pytest.mark.parametrize("name", RANKERS)
def test_a_cache_steps_the_network_over_whole_histories(name):
    requests = _requests(3_000)
    network = _noisy(name)
    cache = NeuralCache(stepper_of(name, network), 10)
    for part in np.split(requests, [1, 230, 2_750]):  # which is not where it steps
        cache.replay(part)
    histories = Histories(requests, SMALL.every)
    weights = network(
        torch.from_numpy(histories.features), histories.offsets, torch.from_numpy(histories.elapsed)
    )[histories.offsets[1:] - 1].exp()
    known = np.arange(len(histories.offsets) - 1)
    shares = torch.from_numpy(cache.history.shares(known)).float()
    expected = (weights * shares[:, None]).sum(-1).log().detach().numpy()
    for mixture in range(len(HORIZONS)):
        cache._follows[-1] = len(TAUS) + mixture
        np.testing.assert_allclose(
            cache.log_shares(known), expected[:, mixture], rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("count", [99, 150])
def test_too_few_requests_are_refused(count):
    with pytest.raises(TooFewRequestsError, match="step more often"):
        train_ranker("cachemamba", [_requests(count)], 0, SMALL, QUICK)


def _windows(parts: int):
    requests = _requests(2_000)
    names = [f"object {item}" for item in range(requests.max() + 1)]
    trace = RequestTrace(np.arange(2_000.0), requests, names, np.zeros(2_000, np.int32), [""])
    for _, window in ranking.windows(workload(trace, window=100.0)):
        yield from ranking_parts(window, parts)


def ranking_parts(window, parts):
    """A window cut into parts, as a historian cuts a large one."""
    from msgspec.structs import replace

    for number, order in enumerate(np.array_split(window.requests(), parts)):
        used, first, within = np.unique(order, return_index=True, return_inverse=True)
        by_first = np.argsort(first)
        yield replace(
            window,
            part=number,
            parts=parts,
            objects=[window.objects[i] for i in used[by_first]],
            count=np.bincount(np.argsort(by_first)[within]).astype("<i4").tobytes(),
            size=np.zeros(used.size, "<i8").tobytes(),
            order=np.argsort(by_first)[within].astype("<i4").tobytes(),
        )


def test_a_window_in_parts_is_the_window():
    model = CacheMamba.of(_noisy("cachemamba"))
    whole, pieces = model.ranker(10), model.ranker(10)
    for window in _windows(1):
        whole.step(window)
    for window in _windows(3):
        pieces.step(window)
    names = [f"object {item}" for item in range(60)]
    np.testing.assert_allclose(whole.scores(names), pieces.scores(names))


def test_a_rankers_fall_back_is_the_decayed_count():
    model = CacheMamba.of(_noisy("cachemamba"))
    ranker, plain = model.ranker(10), DecayedCountRanker(10)
    for window in _windows(1):
        ranker.step(window)
        plain.step(window)
    ranker._cache._follows[-1] = plain._cache._follows[-1]
    names = [f"object {item}" for item in range(60)]
    np.testing.assert_allclose(ranker.scores(names), plain.scores(names))
    assert ranker.in_force == plain.in_force
    assert (ranker.name, ranker.version) == ("cachemamba", "0")


def test_forgetting_keeps_the_memory_of_what_is_kept():
    model = CacheMamba.of(_noisy("cachemamba"))
    ranker = model.ranker(10, max_objects=40)
    for window in _windows(1):
        ranker.step(window)
    assert ranker.forgotten > 0 and len(ranker) <= 40
    assert np.isfinite(ranker.scores(list(ranker._codes))).all()


def test_what_caches_miss_is_what_lies_beyond_their_size():
    # Scores far apart, so that the edge is sharp: a cache of one holds the first object.
    portion = torch.tensor([[0.5], [0.3], [0.2]])
    log = torch.tensor([[0.0], [-50.0], [-100.0]])
    torch.testing.assert_close(_missed(log, portion), torch.tensor([0.5]))
    torch.testing.assert_close(_missed(log.flip(0), portion), torch.tensor([0.8]))
