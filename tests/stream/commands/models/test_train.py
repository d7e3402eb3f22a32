"""`tidecast train` and `tidecast models` from recorded files to versions that load."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from models import registry
from models.forecasters import boosting_training, neural_recipes, seismic
from models.interface import Forecaster
from stream.cli import app
from stream.commands.models import train as training
from stream.commands.models.train import train_app


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = []
    for number in range(80):
        delays = np.sort(np.exp(rng.normal(8, 2, int(np.exp(rng.uniform(1, 5))))))
        events = " ".join(f"r/u{i}:{delay:.1f}" for i, delay in enumerate(delays))
        lines.append(f"c{number}\tr\t{1.4e9 + 7_200 * number}\t{len(delays) + 1}\tr:0 {events}\n")
    path = tmp_path / "recorded.txt"
    path.write_text("".join(lines))
    return path


def run(app: typer.Typer, *words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def loaded(root: Path, name: str) -> Forecaster:
    model = registry.load(name, root=root)
    assert model.forecast([], np.array([60.0])).expected.shape == (0, 1)
    return model


@pytest.mark.parametrize(
    ("command", "recipe"),
    [
        (training.train_boosting, boosting_training.train),
        (training.train_concat, neural_recipes.train_concat),
        (training.train_casft, neural_recipes.train_casft),
        (training.train_mlp, neural_recipes.train_mlp),
        (training.train_seismic, seismic.train),
    ],
)
def test_the_defaults_of_a_command_are_those_of_its_recipe(
    command: Callable[..., None], recipe: Callable[..., Any]
) -> None:
    def defaults(of: Callable[..., Any]) -> dict[str, Any]:
        named = inspect.signature(of).parameters.values()
        found = {one.name: one.default for one in named if one.default is not one.empty}
        return {k: ",".join(v) if isinstance(v, tuple) else v for k, v in found.items()}

    typed, meant = defaults(command), defaults(recipe)
    del meant["report"]
    assert meant
    assert {name: typed[name] for name in meant} == meant


def test_models_are_trained_written_and_listed(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "registry"
    typed = f"tidecast train boosting --cascades {recorded} --output {output} --rounds 5"
    monkeypatch.setattr(sys, "argv", typed.split())
    run(
        train_app, "boosting", "--cascades", recorded, "--background", recorded, "--output", output,
        "--version", "3.1", "--rounds", 5, "--ages", 3,
    )  # fmt: skip
    assert loaded(output, "boosting").version == "3.1"
    card = registry.read_card("boosting", root=output)
    assert [data.cascades for data in card.data] == [80, 80]
    assert card.data[0].digest == registry.digest(recorded)
    assert card.training["background"] == ["recorded.txt"]
    assert card.command == "tidecast train boosting --cascades recorded.txt --rounds 5"

    run(
        train_app, "seismic", "--cascades", recorded, "--output", output, "--ages", 1,
        "--horizons", 1,
    )  # fmt: skip
    assert loaded(output, "seismic").version == "1"
    listed = run(app, "models", "list", "--root", output)
    assert "boosting" in listed
    assert "3.1" in listed
    assert "SEISMIC" in listed
    monkeypatch.setenv("TIDECAST_REGISTRY", str(output))
    assert run(app, "models", "list") == listed


def test_a_network_is_trained(recorded: Path, tmp_path: Path) -> None:
    output = tmp_path / "registry"
    parts = "structure,users,encoder,likelihood"
    run(
        train_app, "concat", "--cascades", recorded, "--output", output, "--components", parts,
        "--members", 1, "--epochs", 1,
    )  # fmt: skip
    assert loaded(output, "concat").version == "1"


@pytest.mark.long
def test_the_mixture_is_trained(recorded: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(recorded.read_text().replace("c", "d"))
    output = tmp_path / "registry"
    run(
        train_app, "served", "--cascades", recorded, "--cascades", other, "--output", output,
        "--version", 2, "--seed", 1,
    )  # fmt: skip
    assert loaded(output, "served").version == "2"


def test_too_few_cascades_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "few.txt"
    path.write_text("".join(f"c{number}\tr\t0\t1\tr:0\n" for number in range(5)))
    result = CliRunner().invoke(train_app, ["seismic", "--cascades", str(path)])
    assert result.exit_code == 2
    assert "at least 20" in result.output
