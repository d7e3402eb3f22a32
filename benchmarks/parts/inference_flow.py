"""The ways to solve the jump ODE, timed and compared: a part of `inference.py`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from parts.inference_timing import AGE, Call, Report, in_turns

from models.cascades.clock import clock_of
from models.forecasters.networks.flows import Adaptive, AffineFlow, Flow, NeuralFlow
from models.forecasters.networks.jump_ode import JumpODE, jump_loop
from models.kernels import threads as kernel_threads

CASCADES, EVENTS, WIDTH = 64, 100, 64
TOLERANCE = 1e-4
GOAL_DIFFERENCE = 1e-3
GOALS = {("compiled", "forward"): 10.0, ("compiled", "backward"): 25.0}
PASSES = ("forward", "backward")


def measure_flow(threads: Sequence[int], rounds: int) -> Report:
    """Times, ratios to the adjoint and differences of each way to solve each flow."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    offsets = EVENTS * np.arange(CASCADES + 1)
    delays = np.sort(AGE * rng.random((CASCADES, EVENTS)) ** 2, axis=1)
    clock = torch.from_numpy(clock_of(delays.ravel()))
    inputs = torch.randn(1, CASCADES * EVENTS, 3 * WIDTH)
    affine = AffineFlow(1, WIDTH)
    torch.nn.init.normal_(affine.level)
    torch.nn.init.normal_(affine.slope, std=0.1)
    report: Report = {}
    neural = NeuralFlow(1, WIDTH)
    with torch.no_grad():
        neural.outer.weight.mul_(10)  # it begins at a tenth, where any solver would do
    for flow in (affine, neural):
        model = JumpODE(1, WIDTH, flow)
        torch.nn.init.normal_(model.start)
        adaptive = _with_flow(model, Adaptive(flow, TOLERANCE))
        adjoint = _with_flow(model, Adaptive(flow, TOLERANCE, adjoint=True))
        own = (
            {"compiled": (model.forward, model), "loop": (_looped(model), model)}
            if flow is affine
            else {"runge_kutta": (_looped(model), model)}
        )
        contenders = own | {
            "dopri5": (_looped(adaptive), adaptive),
            "adjoint": (_looped(adjoint), adjoint),
        }
        exact = copy.deepcopy(model).double()
        exact.flow = Adaptive(exact.flow, 1e-7)
        with torch.no_grad():
            truth = torch.stack(jump_loop(inputs.double(), clock.double(), offsets, exact))
        figures = report[type(flow).__name__] = {}
        for name, (solve, _) in contenders.items():
            with torch.no_grad():
                got = torch.stack(solve(inputs, clock, offsets))
            figures[name] = {"difference": float((got - truth).abs().max())}
        for count in threads:
            torch.set_num_threads(count)
            kernel_threads.limit(count)
            calls = {
                (name, which): _pass(solve, one, which, (inputs, clock, offsets))
                for name, (solve, one) in contenders.items()
                for which in PASSES
            }
            seconds = in_turns(calls, rounds)
            for (name, which), times in seconds.items():
                yardstick = seconds["adjoint", which]
                figures[name][f"{which}_{count}"] = {
                    "milliseconds": 1e3 * median(times),
                    "least_milliseconds": 1e3 * min(times),
                    "adjoint_ratio": median(y / t for y, t in zip(yardstick, times, strict=True)),
                }
        torch.set_num_threads(1)
        kernel_threads.limit(1)
    return report


def _with_flow(model: JumpODE, flow: Flow) -> JumpODE:
    """The same model, its parameters too, but for the flow."""
    other = JumpODE(1, WIDTH, flow)
    other.start, other.recurrent, other.bias = model.start, model.recurrent, model.bias
    return other


def _looped(model: JumpODE) -> Callable[..., Any]:
    return lambda inputs, clock, offsets: jump_loop(inputs, clock, offsets, model)


def _pass(solve: Callable[..., Any], model: JumpODE, which: str, given: tuple[Any, ...]) -> Call:
    inputs, clock, offsets = given

    def forward() -> None:
        with torch.no_grad():
            solve(inputs, clock, offsets)

    def backward() -> None:
        model.zero_grad()
        needs = inputs.detach().requires_grad_()
        before, after = solve(needs, clock, offsets)
        (before.square().mean() + after.square().mean()).backward()

    return forward if which == "forward" else backward
