"""Which models answer, how fast, and which are tried beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from stream.settings.domain import Domain, setting
from stream.settings.spelling import Duration, SettingsError


@dataclass(frozen=True)
class Models(Domain):
    """The served model, its batches and its shadows."""

    heading: ClassVar[str] = "Models"

    forecaster: str = setting("served", "the model that is served; see `tidecast models list`")
    registry: str = setting("", "folder of model versions; empty: those that ship")
    model_classes: tuple[str, ...] = setting(
        (),
        "classes of one's own that models may be of, module:Class,...: code that this worker runs",
    )
    forecast_batch: int = setting(
        256, "snapshots a batch at most; a batch is one commit", positive=True
    )
    forecast_wait: Duration = setting(Duration(0.02), "how long a batch may wait to fill")
    forecast_deadline: Duration = setting(
        Duration(0.1),
        "the longest that one call of the model may take; a batch is cut into calls",
        positive=True,
    )
    degrade_after: Duration = setting(
        Duration(0), "SEISMIC answers once even the newest snapshot waited this long; 0: never"
    )
    shadows: tuple[str, ...] = setting(
        ("seismic",),
        "models tried beside the served one, on shadow.forecasts: name or name:version,...; "
        "SEISMIC costs next to nothing and is a yardstick",
    )
    model_threads: int = setting(
        1,
        "of a model; roles share a machine, and threads that spin stall the others",
        positive=True,
    )

    def __post_init__(self) -> None:
        """Refuses shadows that no model could have the name of, and classes that are none."""
        super().__post_init__()
        for kind in self.model_classes:
            if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", kind):
                raise SettingsError(
                    f"model_classes: got {kind!r}; expected a module and a class in it, such as "
                    "forecasts.steady:Steady"
                )
        for shadow in self.shadows:
            if not re.fullmatch(r"[^:\s]+(:[0-9]+(\.[0-9]+)*)?", shadow):
                raise SettingsError(
                    f"shadows: got {shadow!r}; expected a model's name, or its name and version "
                    "such as boosting:2"
                )
