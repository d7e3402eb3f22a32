"""What is wrong with a command line is said before anything is read, trained, sent or written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from models import registry
from stream.cli import app
from stream.http.listening import free_port
from stream.kafka.broker import BrokerError

WINDOW = ["--observe", "1h", "--horizon", "24h"]
CACHING = ["evaluate", "caching", "FILE"]
CASCADES = ["evaluate", "cascades", "FILE", *WINDOW]
BOOSTING = ["train", "boosting", "--cascades", "FILE"]
RANKER = ["train", "cachemamba", "--requests", "FILE"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a recording that cannot be read, a folder, and a registry."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("whoever reads this finds no recording\n")
    (tmp_path / "FOLDER").mkdir()
    for name in ("boosting", "mlp", "cachemamba"):
        version = tmp_path / "HELD" / name / "1"
        version.mkdir(parents=True)
        (version / registry.CARD).write_text("{}")
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def said(result: Result) -> str:
    """All that a command has said, and what it ended with, without the frames of the terminal."""
    text = f"{result.output} {result.exception}"
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        # Names, of policies and models
        ([*CACHING, "--policies", "lru,mru"], "got 'mru'; expected some of lru"),
        ([*CACHING, "--pretrained", "--policies", "lru,transformer"], "got model 'transformer'"),
        ([*CACHING, "--pretrained", "--policies", "lru,cachemamba", "--registry", "FOLDER"],
         "got model 'cachemamba'; FOLDER holds none"),
        ([*CACHING, "--warmup", "0", "--policies", "lru,cachemamba"], "learns from the warm-up"),
        ([*CASCADES, "--models", "boosting,nothing"], "got 'nothing'; there are recipes for"),
        ([*CASCADES, "--pretrained", "--models", "served,nothing"], "got model 'nothing'"),
        ([*CASCADES, "--pretrained", "--models", "served,mean"], "got mean with --pretrained"),
        # Where figures and pictures go
        ([*CACHING, "--json", "FOLDER"], "--json: FOLDER is a folder"),
        ([*CACHING, "--json", "FILE/a.json"], "--json: nothing can be written in FILE"),
        ([*CACHING, "--plot", "FILE/a.png"], "--plot: nothing can be written in FILE"),
        ([*CACHING, "--json", "a.png"], "figures and picture would both be written to a.png"),
        ([*CASCADES, "--json", "FILE/a.json"], "--json: nothing can be written in FILE"),
        ([*CASCADES, "--plot", "FOLDER"], "--plot: FOLDER is a folder"),
        ([*CASCADES, "--json", "a.png"], "figures and picture would both be written to a.png"),
        ([*CASCADES, "--keep", "FILE"], "--keep: nothing can be written in FILE"),
        (["up", "--json", "FOLDER"], "--json: FOLDER is a folder"),
        (["up", "--logs", "FILE"], "cannot be made (Not a directory); name another with --logs"),
        (["dead-letters", "show", "2/17", "--output", "FOLDER"], "--output: FOLDER is a folder"),
        # Where models go
        ([*BOOSTING, "--output", "FILE"], "--output: nothing can be written in FILE"),
        ([*BOOSTING, "--version", "v2"], "--version: got 'v2'; expected whole numbers"),
        ([*BOOSTING, "--output", "HELD"], "HELD/boosting/1 is there already"),
        (["train", "served", "--cascades", "FILE", "--output", "HELD"], "HELD/mlp/1 is there"),
        ([*RANKER, "--output", "HELD"], "HELD/cachemamba/1 is there already"),
        ([*RANKER, "--version", "next"], "--version: got 'next'"),
        # Files that are read
        ([*CACHING[:2], "none.csv"], "none.csv: no such file"),
        ([*CACHING[:2], "FOLDER"], "FOLDER is a folder; expected a file"),
        ([*CASCADES, "--train", "FILE", "--train", "none.txt"], "none.txt: no such file"),
        ([*CASCADES, "--train", "FILE", "--train", "./FILE"], "FILE is named twice"),
        ([*BOOSTING, "--cascades", "none.txt"], "none.txt: no such file"),
        ([*BOOSTING, "--background", "none.txt"], "none.txt: no such file"),
        ([*RANKER, "--requests", "none.csv"], "none.csv: no such file"),
        (["up", "--cascades", "FILE", "--requests", "none.csv"], "none.csv: no such file"),
        (["replay", "cascades", "FILE", "none.txt"], "none.txt: no such file"),
        (["replay", "requests", "FOLDER"], "FOLDER is a folder"),
        (["simulate", "--parameters", "none.json"], "none.json: no such file"),
        # What does not go together, and what is no number, time or length
        ([*CASCADES, "--pretrained", "--keep", "FOLDER"], "--keep and --split random do not go"),
        ([*CASCADES, "--registry", "HELD"], "add that"),
        ([*CACHING, "--registry", "HELD"], "add that"),
        ([*CACHING, "--fetch-cost", "inf"], "expected a finite number"),
        ([*CACHING, "--window", "soon"], "expected seconds or a duration"),
        (["up", "--rebase", "1h"], "give --cascades too"),
        (["up", "--cascades", "FILE", "--rebase", "1x"], "expected seconds or a duration"),
        (["replay", "requests", "FILE", "--start", "1464745294123"], "looks like milliseconds"),
        (["replay", "requests", "FILE", "--start", "nan"], "nan"),
        (["settings", "--json", "--markdown"], "give one"),
    ],
)  # fmt: skip
def test_it_is_said_before_any_work(place: Path, words: list[str], reason: str) -> None:
    before = sorted(place.rglob("*"))
    result = run(*words)
    assert result.exit_code != 0
    assert reason in said(result)
    assert "no recording" not in said(result) and "Traceback" not in said(result)
    assert sorted(place.rglob("*")) == before, "nothing was written"


@pytest.mark.parametrize(
    "words",
    [["replay", "cascades", "FILE"], ["replay", "requests", "FILE"], ["simulate"]],
)
def test_a_broker_that_is_not_there_is_missed_before_a_file_is_read(
    place: Path, words: list[str]
) -> None:
    result = run(*words, "--kafka", f"127.0.0.1:{free_port()}")
    assert isinstance(result.exception, BrokerError)


def test_folders_of_what_is_written_are_made(place: Path) -> None:
    """And then the recording is read, which cannot be."""
    result = run(*CACHING, "--json", "new/folder/a.json")
    assert "line 1: got the header" in said(result)
    assert (place / "new" / "folder").is_dir() and not any((place / "new" / "folder").iterdir())
