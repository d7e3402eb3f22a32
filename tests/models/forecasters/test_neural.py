"""Networks as forecasters, whatever they are made of: edges, independence, refused files."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from models.cascades.batch import gather
from models.data.datasets import UNKNOWN_PARENT, Cascade, snapshot_at
from models.forecasters import casft, concat, mlp
from models.forecasters.concat import COMPONENTS
from models.forecasters.networks.casft import CasFTNetwork
from models.forecasters.networks.concat import ConCatNetwork, Targets, tensors
from models.forecasters.networks.mlp import MLPNetwork
from models.forecasters.neural import MLP, CasFT, ConCat, NeuralForecaster
from models.learning.network_files import CONFIG, WEIGHTS
from models.learning.weights import weights_of
from tests.models.recorded import made
from tests.models.strategies import cascades

HORIZONS = np.array([3_600.0, 86_400.0, 172_800.0])


def concat_of(*components: str, flow: str = "affine") -> ConCat:
    config = concat.Config(components=components, flow=flow, members=2, width=8, head=12, bins=4)
    return ConCat(ConCatNetwork(config))


def casft_of(trend: str, *components: str) -> CasFT:
    base = concat.Config(components=components, members=2, width=8, head=12, bins=4)
    return CasFT(CasFTNetwork(casft.Config(base=base, trend=trend, samples=4, steps=3)))


KINDS: dict[str, Callable[[], NeuralForecaster]] = {
    "concat": concat_of,
    **{f"concat+{one}": lambda one=one: concat_of(one) for one in COMPONENTS},
    "concat+users+encoder": lambda: concat_of("users", "encoder"),
    "concat-full": lambda: concat_of(*COMPONENTS),
    "concat-neural-flow": lambda: concat_of(flow="neural"),
    "casft": lambda: casft_of("diffusion", "likelihood"),
    "casft-regression": lambda: casft_of("regression", "encoder"),
    "casft-unencoded": lambda: casft_of("regression"),
    "mlp": lambda: MLP(MLPNetwork(mlp.Config(members=2, head=12, bins=4))),
}
# Those of compiled kernels alone; the others run products of a library.
TO_THE_BIT = (
    "concat", "concat+users", "concat+structure", "concat+encoder", "concat+users+encoder",
    "casft-regression", "casft-unencoded", "mlp",
)  # fmt: skip


@cache
def model_of(name: str) -> NeuralForecaster:
    torch.manual_seed(0)
    return scaled(KINDS[name]())


def scaled(model: NeuralForecaster) -> NeuralForecaster:
    """An untrained network whose inputs are scaled and whose outputs depend on them."""
    batch = gather([snapshot_at(cascade, 3_600.0) for cascade in made(40)])
    shape = (40, len(HORIZONS))
    drawn = torch.rand(shape)
    parts = getattr(model.network.config, "parts", 1)
    targets = Targets(drawn, torch.rand(*shape, parts), torch.ones(40))
    model.network.fit_inputs(model.observe(batch, np.tile(HORIZONS, (40, 1))), targets)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.network.eval()
    return model


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_an_empty_batch_and_no_horizons_give_empty_answers(name: str) -> None:
    model = model_of(name)
    assert model.forecast([], HORIZONS).quantiles.shape == (0, 3, 5)
    some = [snapshot_at(cascade, 600.0) for cascade in made(2)]
    assert model.forecast(some, np.empty(0)).quantiles.shape == (2, 0, 5)


@pytest.mark.parametrize("age", [0.0, 1.0, 86_400.0])
def test_snapshots_without_events_beside_others_are_answered(name: str, age: float) -> None:
    if name == "mlp":
        pytest.skip("its features need an event")
    [cascade, other] = made(2)
    none = msgspec.structs.replace(
        snapshot_at(cascade, age), delay=b"", parent=b"", depth=b"", user=b"", observed_count=0
    )
    model = model_of(name)
    alone = model.forecast([none], HORIZONS)
    assert np.isfinite(alone.quantiles).all()
    both = model.forecast([none, snapshot_at(other, 5_000.0), none], HORIZONS)
    for index in (0, 2):
        np.testing.assert_allclose(both.quantiles[index], alone.quantiles[0], atol=1e-4)


def test_answers_depend_on_the_events_the_age_and_the_horizon(name: str) -> None:
    cascade = max(made(20), key=len)
    model = model_of(name)
    young, old = (
        model.network.predict(model.observe(gather([snapshot_at(cascade, age)]), HORIZONS[None]))[0]
        for age in (600.0, 3_000.0)
    )
    assert (young != old).all()
    assert len(np.unique(young)) == 3


@settings(max_examples=10)
@given(st.lists(cascades(max_size=150), min_size=2, max_size=4), st.floats(0, 2e5))
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(
    batch: list[Cascade], age: float
) -> None:
    snapshots = [snapshot_at(cascade, age) for cascade in batch]
    for name in KINDS:
        model = model_of(name)
        tolerance = 0.0 if name in TO_THE_BIT else 1e-4
        together = model.forecast(snapshots, HORIZONS)
        for index, snapshot in enumerate(snapshots):
            alone = model.forecast([snapshot], HORIZONS)
            for got, expected in (
                (alone.quantiles, together.quantiles), (alone.log_mean, together.log_mean),
            ):  # fmt: skip
                np.testing.assert_allclose(
                    got[0], expected[index], rtol=0, atol=tolerance, err_msg=name
                )


def test_what_was_not_seen_in_training_does_not_drown_the_rest() -> None:
    model = model_of("concat")
    whole = snapshot_at(max(made(40), key=len), 3_600.0)
    parents = np.where(np.arange(whole.observed_count) == 5, UNKNOWN_PARENT, whole.parents())
    orphan = msgspec.structs.replace(whole, parent=parents.astype("<i4").tobytes())
    raw = [
        model.network.inputs(model.observe(gather([snapshot]), HORIZONS[None]))
        for snapshot in (whole, orphan)
    ]
    assert raw[0].abs().max() < 20
    assert raw[1].abs().max() < 20
    assert not torch.equal(*raw)


@pytest.mark.parametrize("trend", casft.TRENDS)
@pytest.mark.parametrize("components", [(), ("likelihood",), ("encoder",)])
def test_the_compiled_trend_and_head_answer_as_the_network_does(
    trend: str, components: tuple[str, ...]
) -> None:
    model = scaled(casft_of(trend, *components))
    batch = gather([snapshot_at(cascade, 9_000.0) for cascade in made(30)])
    observed = model.observe(batch, np.tile(HORIZONS, (30, 1)))
    network = model.network
    with torch.no_grad():
        condition, read, _ = network.conditions(observed)
        beside = torch.cat([read, network._mean_trend(condition)], -1)
        mean, quantiles = network.front.answer(beside, tensors(observed).table)
    np.testing.assert_allclose(network.point(observed), mean.mean(0), rtol=1e-4, atol=1e-5)
    got = network._answer(observed)
    np.testing.assert_allclose(got[1], quantiles.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["concat", "concat+users", "concat+encoder", "concat+users+encoder", "mlp"]
)
def test_the_compiled_path_answers_as_the_network_does(name: str) -> None:
    model = model_of(name)
    batch = gather([snapshot_at(cascade, 9_000.0) for cascade in made(30)])
    observed = model.observe(batch, np.tile(HORIZONS, (30, 1)))
    with torch.no_grad():
        mean, quantiles, *_ = model.network(observed)
    got = model.network.predict(observed)
    np.testing.assert_allclose(got[0], mean.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[1], quantiles.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "concat-neural-flow"])
def test_shapes_are_those_of_the_network(name: str) -> None:
    model = model_of(name)
    found = {key: value.shape for key, value in weights_of(model.network).items()}
    assert found == model.kind.shapes(model.network.config)


@pytest.mark.parametrize("name", TO_THE_BIT)
def test_what_kernels_answer_whole_is_loaded_without_the_network(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    model.save(tmp_path)
    loaded = type(model).load(tmp_path, "1")
    assert not isinstance(loaded.network, torch.nn.Module)
    some = [snapshot_at(cascade, 9_000.0) for cascade in made(30)]
    got, expected = loaded.forecast(some, HORIZONS), model.forecast(some, HORIZONS)
    np.testing.assert_allclose(got.log_mean, expected.log_mean, atol=0.02)  # half precision


# ------------------------------------------------------------------ files


def test_narrow_bins_of_the_inputs_come_through_a_file(tmp_path: Path) -> None:
    model = MLP(MLPNetwork(mlp.Config(members=1, head=4, bins=2)))
    table = model.network.table
    columns = table.low.shape[0]
    table.fit(1 + 1e-5 * np.random.default_rng(0).random((50, columns)))
    assert table.scale.max() > 65_504, "more than half precision holds"
    model.save(tmp_path)
    again = load_file(tmp_path / WEIGHTS)
    assert torch.equal(again["table.low"], table.low)
    assert torch.equal(again["table.scale"], table.scale)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model_of("concat").save(tmp_path)
    return tmp_path


def altered(folder: Path, **changes: object) -> None:
    stored = msgspec.json.decode((folder / CONFIG).read_bytes())
    (folder / CONFIG).write_bytes(msgspec.json.encode(stored | changes))


def test_other_inputs_are_refused(folder: Path) -> None:
    altered(folder, reads=["log_luck"])
    with pytest.raises(ValueError, match="trained on other inputs"):
        ConCat.load(folder, "1")


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({"width": "wide"}, "width"),
        ({"depth": 3}, "depth"),
        ({"components": ["luck"]}, "expected some of"),
        ({"flow": "lava"}, "expected one of affine, neural"),
        ({"width": 9, "members": 2, "head": 12, "bins": 4}, "expected \\(2, "),
        (
            {"components": ["users"], "members": 2, "width": 8, "head": 12, "bins": 4},
            "users.weight",
        ),
    ],
)
def test_a_configuration_that_is_not_the_networks_is_refused(
    folder: Path, network: dict[str, object], reason: str
) -> None:
    altered(folder, network=network)
    with pytest.raises(ValueError, match=reason):
        ConCat.load(folder, "1")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"{}"])
def test_what_is_no_configuration_is_refused(folder: Path, content: bytes) -> None:
    (folder / CONFIG).write_bytes(content)
    with pytest.raises(ValueError):
        ConCat.load(folder, "1")


def test_weights_that_are_none_or_cut_short_or_not_all_are_refused(folder: Path) -> None:
    path = folder / WEIGHTS
    whole, tensors = path.read_bytes(), load_file(path)
    for content in (b"", b"no weights", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            ConCat.load(folder, "1")
    tensors.popitem()
    save_file(tensors, path)
    with pytest.raises(ValueError, match="missing \\["):
        ConCat.load(folder, "1")
    path.unlink()
    with pytest.raises(OSError):
        ConCat.load(folder, "1")


def test_weights_are_in_half_precision(folder: Path) -> None:
    learnt = {key for key, _ in model_of("concat").network.named_parameters()}
    stored = load_file(folder / WEIGHTS)
    assert {key for key, value in stored.items() if value.dtype == torch.float16} == learnt
