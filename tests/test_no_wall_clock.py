"""No test measures the machine: none asserts on how long something took, none is short of patience.

Read off the tests themselves. What is told apart:

    a reading      time.time(), .monotonic(), .perf_counter(), .process_time(), loop.time()
    a duration     arithmetic with a reading, or a name that is given one
    a limit        what ends a wait: timeout=, asyncio.timeout(), wait_for(), wait(), settimeout()
    a sleep        asyncio.sleep() or time.sleep() of more than 0 s

An assertion may put readings in order (`before <= found <= after`), which holds on any machine; it
may not compare durations. A limit is `PATIENCE` or more, and who waits for something to become so
uses `tests.patience.until`. How long things take is for `benchmarks/`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LEAST = 60.0  # seconds that a limit lasts
READINGS = {"time", "monotonic", "perf_counter", "process_time", "thread_time", "time_ns"}
CLOCKS = {"time", "loop"}
LIMITS = {"timeout", "wait_for", "wait", "settimeout", "join", "result", "communicate"}
SLEEPERS = {"asyncio", "time"}

# What may sleep or be short of patience, and why.
MAY = {
    "patience.py": "waits for what is to become so",
    "clock.py": "sleeps on a clock that only its test moves",
    "system/crashes/stage.py": "draws the moments before a blow, and holds workers still",
    "system/crashes/soak.py": "sends at a rate, as long as it is told to",
    "system/drill/cases.py": "sends at a rate",
    "system/drill/traffic.py": "sends at a rate, by a clock of events",
    "system/drill/watch.py": "looks at Prometheus now and then, and tells how long alerts took",
    "system/drill/site.py": "looks whether a role answers, now and then",
    "system/edge/origin.py": "an origin that takes its time",
    "system/edge/test_answers.py::test_what_must_be_revalidated_is_not_served_without_the_origin": (
        "what may be kept for a second grows old"
    ),
    "system/edge/http.py": "an origin that takes its time",
    "system/edge/test_failures.py": "asks at a rate, and says what is decided now and then",
    "system/kafka/logs/test_replaced_logs.py::grown_old": "what was looked at grows old",
    "system/crashes/test_crashes.py"
    "::test_roles_wait_for_a_broker_that_is_away_and_health_says_so": (
        "a minute is what they are to outlast"
    ),
}


def sources() -> list[Path]:
    return sorted(path for path in TESTS.rglob("*.py") if path != Path(__file__))


def is_reading(node: ast.AST) -> bool:
    """Whether a clock is read here."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    of = node.func.value
    named = isinstance(of, ast.Name) and of.id in CLOCKS
    running = isinstance(of, ast.Call) and "get_running_loop" in ast.unparse(of.func)
    return node.func.attr in READINGS and (named or running)


def calculated(node: ast.AST, readings: set[str]) -> bool:
    """Whether something is calculated with a reading."""
    return any(
        isinstance(each, ast.BinOp)
        and any(
            is_reading(part) or (isinstance(part, ast.Name) and part.id in readings)
            for part in ast.walk(each)
        )
        for each in ast.walk(node)
    )


def durations(function: ast.AST) -> Iterator[tuple[int, str]]:
    """Assertions that compare what was calculated with readings of a clock."""
    readings: set[str] = set()
    results: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            names = {each.id for each in node.targets if isinstance(each, ast.Name)}
            if is_reading(node.value):
                readings |= names
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and calculated(node.value, readings):
            results |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) and any(
            isinstance(each, ast.Compare)
            and (
                calculated(each, readings)
                or any(isinstance(part, ast.Name) and part.id in results for part in ast.walk(each))
            )
            for each in ast.walk(node.test)
        ):
            yield node.lineno, f"asserts on a duration: {ast.unparse(node.test)}"


def seconds(node: ast.AST) -> float | None:
    """A number that is written down; None for anything else, such as PATIENCE."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    return None


def waits(function: ast.AST) -> Iterator[tuple[int, str]]:
    """Limits that end soon, and sleeps."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        given = {word.arg: seconds(word.value) for word in node.keywords}
        short = given.get("timeout")
        if short is None and name in LIMITS and node.args:
            short = seconds(node.args[-1])
        if short is not None and 0 < short < LEAST:
            yield node.lineno, f"ends after {short:g} s: {ast.unparse(node)}"
        of = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name == "sleep" and isinstance(of, ast.Name) and of.id in SLEEPERS:
            slept = seconds(node.args[0])
            if slept is None or slept > 0:
                yield node.lineno, f"sleeps: {ast.unparse(node)}"


def functions(node: ast.AST) -> list[ast.AST]:
    return [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def found(path: Path) -> list[str]:
    """What is wrong in a file, by line."""
    where = path.relative_to(TESTS).as_posix()
    if where in MAY:
        return []
    tree = ast.parse(path.read_text())
    wrong = []
    for node in tree.body:
        if f"{where}::{getattr(node, 'name', '')}" in MAY:
            continue
        wrong += [line for function in functions(node) for line in durations(function)]
        wrong += waits(node)
    return [f"{where}:{line}: {what}" for line, what in sorted(set(wrong))]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_test_measures_the_machine(path: Path) -> None:
    assert found(path) == []


def test_what_may_is_there() -> None:
    for where in MAY:
        file, _, name = where.partition("::")
        source = (TESTS / file).read_text()
        assert not name or f"def {name}(" in source


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def f():\n a = time.time()\n work()\n assert time.time() - a < 3", "a duration"),
        ("def f():\n a = time.monotonic()\n b = time.monotonic() - a\n assert b < 3", "a duration"),
        ("def f():\n end = time.time() + 9\n assert time.time() < end", "a duration"),
        ("def f():\n a = time.time()\n assert a <= found <= time.time()", ""),
        ("def f():\n assert clock.now - began == 5", ""),
        ("async def f():\n async with asyncio.timeout(5): pass", "ends after 5 s"),
        ("def f():\n process.wait(10)", "ends after 10 s"),
        ("def f():\n run(command, timeout=30)", "ends after 30 s"),
        ("def f():\n run(command, timeout=PATIENCE)", ""),
        ("async def f():\n await asyncio.sleep(0.1)", "sleeps"),
        ("async def f():\n await asyncio.sleep(0)", ""),
    ],
)  # fmt: skip
def test_it_tells_what_measures_from_what_does_not(source: str, told: str) -> None:
    tree = ast.parse(source).body[0]
    said = [what for _, what in (*durations(tree), *waits(tree))]
    assert (told in said[0]) if told else said == []
