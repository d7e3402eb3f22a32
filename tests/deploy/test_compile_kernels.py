"""The image's kernels: after the small run that compiles them, no role has one left to compile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own, so that what other tests compiled does not count. A kernel that only
# other kernels call is compiled with them, and has no signature of its own when those come from
# the cache.
LEFT = """
import importlib, runpy, sys
from numba.core.registry import CPUDispatcher

for role in ("tracker", "historian", "forecaster", "ranker"):
    importlib.import_module(f"stream.{role}")
script = runpy.run_path(sys.argv[1])
for part in script["SERVING"] + script["REST"]:
    part(script["SETTINGS"])
kernels = {
    (found.py_func.__module__, found.py_func.__qualname__): found
    for name, module in list(sys.modules.items())
    if name.split(".")[0] in ("models", "stream")
    for found in vars(module).values()
    if isinstance(found, CPUDispatcher)
}
within = {name for found in kernels.values() for name in found.py_func.__code__.co_names}
left = (name for (_, name), kernel in kernels.items() if not kernel.signatures)
print(*sorted(name for name in left if name not in within))
"""
# In modules that roles import, but called only where files of recorded cascades are read, or where
# networks are trained.
NOT_OF_ROLES = {"_depths", "backward", "_record_all"}


def test_no_role_has_a_kernel_left_to_compile() -> None:
    script = ROOT / "deploy" / "compile_kernels.py"
    done = subprocess.run(
        [sys.executable, "-c", LEFT, script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == NOT_OF_ROLES
