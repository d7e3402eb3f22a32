"""`tidecast train cachemamba`, from recorded requests to a version that caches go by."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from models import registry
from stream.cli import app
from tests.models.traces import drifting


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """4,000 requests for 100 objects, three a minute."""
    path = tmp_path / "trace.csv"
    lines = [f"{20 * i},o{code},c\n" for i, code in enumerate(drifting(4_000, 100))]
    path.write_text("timestamp,object_id,client_id\n" + "".join(lines))
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_version_is_trained_and_taken_up(trace: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    trained = run(
        "train", "cachemamba", "--requests", trace, "--output", output, "--version", "3",
        "--every", 50, "--epochs", 1,
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    card = registry.read_card("cachemamba", root=output)
    assert (card.version, card.data[0].requests, card.training["first"]) == ("3", 2_000, 0.5)
    figures = card.metrics["trace.csv"]["10% of the objects"]
    assert 0 < figures["hit_ratio"] < 1 and 0 < figures["decayed"] < 1

    # What was measured for the card is what the evaluation measures.
    path = tmp_path / "found.json"
    words = ("evaluate", "caching", trace, "--window", "30m", "--sizes", "0.1", "--pretrained")
    words += ("--registry", output, "--policies", "cachemamba", "--json", path)
    assert run(*words).exit_code == 0
    found = json.loads(path.read_text())["results"][0]
    assert found["hit_ratio"] == pytest.approx(figures["hit_ratio"], abs=1e-4)
    # Requests that it learnt from are not tested on without a word.
    told = run(*words, "--warmup", "0.2")
    assert "has learnt from the first 50% of this file" in " ".join(told.output.split())


def test_what_cannot_be_learnt_from_is_refused(trace: Path, tmp_path: Path) -> None:
    missing = run("train", "cachemamba", "--requests", tmp_path / "none.csv")
    assert missing.exit_code == 2
    assert "no such file" in " ".join(missing.output.replace("│", " ").split())
    short = run("train", "cachemamba", "--requests", trace, "--every", 5_000, "--output", tmp_path)
    assert short.exit_code == 1 and "step more often" in str(short.exception)
