"""Files of recorded cascades, as training and evaluation take them: whole, with digest and end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models.cascades.observations import end_of
from models.data.cascades import read_cascades
from models.data.datasets import Cascade, Split
from models.files import DataSet, digest


class Source(NamedTuple):
    """Recorded cascades of one kind.

    Attributes:
        name: of the file, or whatever tells it from others.
        train: cascades to learn from.
        validation: later ones, to choose by, and to learn from once all is chosen.
        end: unix seconds at which the recording ends; what came later is not known.
        share: of the weight of all sources.
    """

    name: str
    train: Sequence[Cascade]
    validation: Sequence[Cascade]
    end: float
    share: float = 1.0


class Recording(NamedTuple):
    """A file of recorded cascades.

    Attributes:
        data: what a model's card says of it.
        cascades: in the file's order.
        end: unix seconds at which the recording ends.
    """

    data: DataSet
    cascades: Sequence[Cascade]
    end: float

    def source(self, split: Split, share: float = 1.0) -> Source:
        """The training and validation parts of `split`, one of this recording's."""
        return Source(self.data.file, split.train, split.validation, self.end, share)


def read_recording(path: Path | str) -> Recording:
    """The recording in a file.

    Raises:
        DataFormatError: it is not in its format.
        OSError: it cannot be read.
    """
    cascades = list(read_cascades(path))
    events = sum(map(len, cascades))
    data = DataSet(Path(path).name, digest(Path(path)), len(cascades), events)
    return Recording(data, cascades, end_of(cascades))
