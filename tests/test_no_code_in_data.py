"""Nothing that is read can run: no pickle, no eval, no shell, anywhere in the product."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import registry

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("topics", "models", "stream", "deploy", "benchmarks")
# Modules whose files hold code, or make it.
MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "jsonpickle", "marshal",
    "shelve", "pickletools", "hickle",
}  # fmt: skip
BUILTINS = {"eval", "exec", "compile", "__import__"}
# By the end of the dotted name; such as read_pickle, of any library.
CALLS = {
    "torch.load", "torch.save", "torch.hub.load", "torch.jit.load", "np.load", "numpy.load",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "pty.spawn",
    "read_pickle", "to_pickle", "load_pickle", "extractall",
}  # fmt: skip
OPTIONS = {"allow_pickle", "shell", "trust_remote_code"}


def found(source: str) -> Iterator[str]:
    """What is not allowed in a piece of Python."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in named if name in CALLS)
        else:
            named = []
        yield from (name for name in named if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in BUILTINS or any(called == c or called.endswith("." + c) for c in CALLS):
                yield f"{called}()"
            for option in node.keywords:
                constant = isinstance(option.value, ast.Constant) and option.value.value is False
                if option.arg in OPTIONS and not constant:
                    yield f"{called}({option.arg}=...)"


@pytest.mark.parametrize("room", ROOMS)
def test_no_source_runs_what_it_reads(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    assert {str(file): told for file in files if (told := list(found(file.read_text())))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "import numpy, joblib as j", "from pickle import loads",
        "from torch import load", "torch.load(path)", "np.load(path)", "eval(text)",
        "exec(compile(text, '', 'exec'))", "yaml.load(text, Loader=yaml.Loader)",
        "pd.read_pickle(path)", "subprocess.run(words, shell=True)",
        "numpy.lib.format.read_array(f, allow_pickle=flag)", "os.system('ls')",
    ],
)  # fmt: skip
def test_what_is_not_allowed_would_be_found(source: str) -> None:
    assert list(found(source))


@pytest.mark.parametrize(
    "source", ["network.eval()", "re.compile('a')", "yaml.safe_load(text)", "f(shell=False)"]
)
def test_what_only_sounds_like_it_is_not(source: str) -> None:
    assert not list(found(source))


def test_models_that_ship_are_numbers_and_text() -> None:
    kinds = {path.suffix for path in registry.SHIPPED.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".safetensors", ".md"}
