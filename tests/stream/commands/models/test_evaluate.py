"""`tidecast evaluate cascades`: figures, picture, what is tested on, and errors that help."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from models import registry
from models.forecasters.seismic import Constants, Seismic
from stream.cli import app

FIGURES = {
    "model": str, "observe": float, "horizon": float, "n": int, "msle": float, "mape": float,
    "msle_sd": float, "mape_sd": float, "msle_interval": list, "coverage_90": float,
    "pinball": float, "expected_ratio": float, "forecast_seconds": float, "seeds": list,
}  # fmt: skip


def write(path: Path, cascades: int, seed: int = 0) -> Path:
    """Recorded cascades of which about half have 10 events in the first hour."""
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(cascades):
        delays = np.sort(np.exp(rng.normal(8, 2, int(np.exp(rng.uniform(2, 4.5))))))
        events = " ".join(f"r/u{i}:{delay:.1f}" for i, delay in enumerate(delays))
        lines.append(f"c{number}\tr\t{1.4e9 + 7_200 * number}\t{len(delays) + 1}\tr:0 {events}\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return write(tmp_path / "recorded.txt", 120)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", "cascades", *map(str, words)])


def figures(path: Path, *words: object) -> dict[str, Any]:
    result = run(*words, "--json", path)
    assert result.exit_code == 0, (result.output, result.exception)
    content: dict[str, Any] = json.loads(path.read_text())
    return content | {"said": " ".join(result.output.split())}


def store(model: Seismic, root: Path, trained_on: Path, version: str = "1") -> None:
    model.version = version
    data = registry.DataSet("other.txt", registry.digest(trained_on), 1, 1)
    registry.write(model, root, description="d", command="c", data=[data], training={}, metrics={})


def test_models_are_trained_measured_and_drawn(recorded: Path, tmp_path: Path) -> None:
    found = figures(
        tmp_path / "out" / "found.json", recorded, "--observe", "1h", "--horizon", "24h",
        "--observe", "30m", "--horizon", "8h", "--models", "mean,loglinear,seismic", "--seeds", 2,
    )  # fmt: skip
    results = found["results"]
    assert [(one["model"], one["observe"], one["horizon"]) for one in results] == [
        (name, *window)
        for window in ((3_600, 86_400), (1_800, 28_800))
        for name in ("mean", "loglinear", "seismic")
    ]
    for one in results:
        for name, kind in FIGURES.items():
            assert isinstance(one[name], kind), name
        assert one["seconds"] >= 0
        assert len(one["seeds"]) == (2 if one["model"] == "seismic" else 1)
        assert 0 <= one["coverage_90"] <= 1
    assert found["tested_on"] == "test part"
    assert "18 of 120" in found["said"]
    assert "say little" in found["said"], "fewer than 30 cascades are warned of"
    for name in ("MSLE", "loglinear", "seismic, seed 1"):
        assert name in found["said"]
    picture = (tmp_path / "out" / "found.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert 500 < width < 4_000
    assert 500 < height < 4_000


def test_models_of_other_files_are_tested_on_the_whole_file(recorded: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.txt", 60, seed=1)
    words = ("--observe", "1h", "--horizon", "24h", "--models", "mean")
    found = figures(tmp_path / "a.json", recorded, *words, "--train", other)
    assert found["tested_on"] == "whole"
    assert found["trained_on"] == ["other.txt"]
    assert found["results"][0]["n"] > 30
    both = figures(tmp_path / "b.json", recorded, *words, "--train", other, "--train", recorded)
    assert both["tested_on"] == "test part"
    assert both["results"][0]["n"] < 20


def test_ready_models_are_tested_in_whole_on_files_that_they_have_not_seen(
    recorded: Path, tmp_path: Path
) -> None:
    root, words = tmp_path / "registry", ("--observe", "1h", "--horizon", "24h", "--pretrained")
    store(Seismic(Constants()), root, write(tmp_path / "other.txt", 30, seed=1))
    found = figures(tmp_path / "a.json", recorded, *words, "--registry", root)
    assert found["tested_on"] == "whole"
    assert found["versions"] == {"seismic": "1"}
    assert found["results"][0]["seconds"] is None
    assert found["results"][0]["seeds"][0]["seed"] is None
    assert found["results"][0]["n"] > 30
    # The same content under another name is the same file.
    copy = tmp_path / "copy.txt"
    shutil.copy(recorded, copy)
    store(Seismic(Constants()), root, copy, version="2")
    found = figures(tmp_path / "b.json", recorded, *words, "--registry", root)
    assert found["tested_on"] == "test part"
    assert found["versions"] == {"seismic": "2"}
    assert found["results"][0]["n"] < 20


def test_the_models_that_ship_are_measured_by_default(recorded: Path, tmp_path: Path) -> None:
    words = (recorded, "--observe", "1h", "--horizon", "24h", "--pretrained")
    found = figures(tmp_path / "found.json", *words)
    assert {one["model"] for one in found["results"]} == set(registry.list_forecasters())


def test_forecasts_follow_what_came_of_earlier_ones(recorded: Path, tmp_path: Path) -> None:
    words = (recorded, "--observe", "1h", "--horizon", "24h", "--models", "mean")
    [plain] = figures(tmp_path / "a.json", *words)["results"]
    told = figures(tmp_path / "b.json", *words, "--prequential")
    assert told["prequential"] and told["results"][0]["n"] == plain["n"]
    assert told["results"][0]["msle"] != plain["msle"]


def test_kept_models_are_not_trained_again(recorded: Path, tmp_path: Path) -> None:
    words = (
        recorded, "--observe", "1h", "--horizon", "24h", "--models", "seismic", "--seeds", 1,
        "--keep", tmp_path / "kept",
    )  # fmt: skip
    first = figures(tmp_path / "a.json", *words)["results"][0]
    card = registry.read_card("seismic", root=tmp_path / "kept" / "0")
    assert card.data[0].digest == registry.digest(recorded)
    again = figures(tmp_path / "b.json", *words)["results"][0]
    assert again["msle"] == first["msle"]
    assert again["seconds"] == first["seconds"], "that of the one training"
    assert registry.list_versions("seismic", tmp_path / "kept" / "0") == ["1"]


def test_a_random_split_is_said_to_leak(recorded: Path, tmp_path: Path) -> None:
    found = figures(
        tmp_path / "a.json", recorded, "--observe", "1h", "--horizon", "24h", "--models", "mean",
        "--split", "random",
    )  # fmt: skip
    assert "leak" in found["said"]
    assert found["split"] == "random"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--observe", "1h"], "--horizon"),
        (["--observe", "1h", "--horizon", "24h", "--observe", "2h"], "2 --observe and 1 --horizon"),
        (["--observe", "soon", "--horizon", "24h"], "'soon'"),
        (["--observe", "24h", "--horizon", "24h"], "less than the horizon"),
        (["--observe", "1h", "--horizon", "24h", "--models", "mean,oracle"], "'oracle'"),
        (["--observe", "1h", "--horizon", "24h", "--models", "oracle"], "loglinear"),
        (["--observe", "1h", "--horizon", "24h", "--pretrained", "--keep", "x"], "trains nothing"),
        (["--observe", "1h", "--horizon", "24h", "--registry", "x"], "--pretrained"),
        (["--observe", "1h", "--horizon", "24h", "--train", "absent.txt"], "absent.txt"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    recorded: Path, words: list[str], told: str
) -> None:
    result = run(recorded, *words)
    assert result.exit_code == 2
    assert told in " ".join(result.output.replace("│", " ").split())


def failure(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 1
    return f"{type(result.exception).__name__}: {result.exception}"


def test_a_recording_too_short_for_the_window_is_told(recorded: Path) -> None:
    told = failure(recorded, "--observe", "1h", "--horizon", "9999d", "--models", "mean")
    assert told.startswith("NothingToTestError: recorded.txt: none of 18 cascades")
    assert "1 h to 239976 h" in told
    assert "for 0 the horizon lies inside the recording" in told
    assert "longer recording" in told


def test_a_window_without_cascades_beside_others_is_warned_of(
    recorded: Path, tmp_path: Path
) -> None:
    found = figures(
        tmp_path / "a.json", recorded, "--observe", "1h", "--horizon", "24h", "--observe", "1h",
        "--horizon", "9999d", "--models", "mean",
    )  # fmt: skip
    assert [one["horizon"] for one in found["results"]] == [86_400]
    assert "nothing to test on in 1 h to 239976 h" in found["said"]


def test_a_file_too_small_to_learn_from_is_told(tmp_path: Path) -> None:
    few = write(tmp_path / "few.txt", 8)
    told = failure(few, "--observe", "1h", "--horizon", "24h", "--models", "mean")
    assert "got 8 cascades" in told
    assert "--pretrained" in told


def test_a_model_that_the_registry_does_not_hold_is_told(recorded: Path, tmp_path: Path) -> None:
    words = (recorded, "--observe", "1h", "--horizon", "24h", "--pretrained")
    assert "seismic" in failure(*words, "--models", "absent")
    assert "one window" in failure(*words, "--models", "seismic,window-boosting")
    assert "holds no model" in failure(*words, "--registry", tmp_path / "nowhere")
