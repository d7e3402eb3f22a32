"""The two files of a trained network: its configuration, and its weights.

`config.json` states the network's shape and what it reads, beside what else its model keeps;
`weights.safetensors` holds its state. A network that reads other inputs than this program computes
is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

CONFIG = "config.json"
WEIGHTS = "weights.safetensors"


class Stored(NamedTuple):
    """What was read.

    Attributes:
        config: of the network.
        weights: by name, in the precision of the file.
        told: the content of `config.json`.
    """

    config: Any
    weights: dict[str, NDArray[Any]]
    told: dict[str, Any]


def load_network(folder: Path, config_class: type[Any], reads: Any) -> Stored:
    """The network in a folder that `save_network` wrote.

    Args:
        folder: of the version.
        config_class: of the configuration.
        reads: names of what this program computes for it, as they were saved.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not what it should be, or is of another network than this program's.
    """
    content = (folder / CONFIG).read_bytes()
    try:
        told = msgspec.json.decode(content)
        if told["reads"] != reads:
            raise ValueError(
                "it was trained on other inputs than this program computes; train it again"
            )
        config = msgspec.convert(told["network"], config_class)
        weights = load_file(folder / WEIGHTS)
    except (KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise ValueError(f"{folder}: {error}") from error
    return Stored(config, weights, told)


def save_network(
    folder: Path, config: Any, weights: Mapping[str, NDArray[Any]], reads: Any, **more: Any
) -> None:
    """Writes the two files into a folder that exists; `more` goes into the configuration's."""
    contiguous = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    save_file(contiguous, folder / WEIGHTS)
    content = {"network": config, **more, "reads": reads}
    (folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
