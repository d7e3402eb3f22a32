"""What ships answers by kernels as by PyTorch, on recorded cascades and requests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kernel_answers.py"


def test_kernels_answer_as_pytorch_does(data_dir: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            sys.executable, str(SCRIPT), "--first", "400", "--json", str(figures),
            "--cascades", str(data_dir / "cascades" / "twitter1516.txt.xz"),
            "--requests", str(data_dir / "requests" / "movielens1m.csv.xz"),
        ],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text())
    assert found.keys() == {"mlp", "concat", "casft-regression", "cachemamba"}
    for figure in found.values():
        assert figure["asked"] > 100
        assert figure["difference"] < 1e-4
