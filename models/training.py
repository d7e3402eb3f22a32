"""`RECIPES`: every kind of model that can be trained, by name."""

from __future__ import annotations

from collections.abc import Mapping

from models import boosting_training, seismic
from models.recipes import AnyTimeRecipe, Recipe

RECIPES: Mapping[str, Recipe] = {
    "boosting": AnyTimeRecipe(
        boosting_training.train,
        "Gradient boosting (LightGBM) on hand features: quantiles for any age and horizon.",
    ),
    "seismic": AnyTimeRecipe(
        seismic.train,
        "SEISMIC (KDD 2015) in closed form: any age, any horizon, no audience sizes.",
    ),
}
