"""The weights of a network by name, as its file has them: what compiled kernels answer from.

Names and shapes are those of the PyTorch module that was trained (`state_dict`). Kernels look at
no bounds, so weights are held to the shapes of their configuration before any is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[np.float32]]
Shapes = Mapping[str, tuple[int, ...]]


def verified(weights: Weights, shapes: Shapes) -> Weights:
    """The weights, once they are all that `shapes` names, and nothing else.

    Raises:
        ValueError: one is missing, or of another shape, or of none of that network.
    """
    missing = shapes.keys() - weights.keys()
    unknown = weights.keys() - shapes.keys()
    if missing or unknown:
        raise ValueError(f"weights: missing {sorted(missing)}, unknown {sorted(unknown)}")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise ValueError(f"{name}: got shape {weights[name].shape}; expected {shape}")
    return weights


def weights_of(network: Any) -> dict[str, NDArray[np.float32]]:
    """Those of a PyTorch module, sharing its memory."""
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}


def filled(network: Any, weights: Mapping[str, NDArray[Any]]) -> Any:
    """The PyTorch module with weights of its shapes, in evaluation mode.

    Raises:
        RuntimeError: they are not those of such a network.
    """
    import torch

    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval()


def single(weights: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.float32]]:
    """The weights in single precision."""
    return {name: value.astype(np.float32) for name, value in weights.items()}


def within(weights: Weights, prefix: str) -> Weights:
    """Those of one part of a network, by their names in it."""
    begin = prefix + "."
    return {
        name.removeprefix(begin): value for name, value in weights.items() if name.startswith(begin)
    }


def named(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Shapes of a part by their names in the whole: the inverse of `within`."""
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def affine(members: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a `MemberLinear`."""
    return {"weight": (members, inputs, outputs), "bias": (members, 1, outputs)}
