"""`RECIPES`: every kind of model that can be trained, by name."""

from __future__ import annotations

from collections.abc import Mapping

from models import baselines, boosting_training, seismic, window_boosting
from models.recipes import AnyTimeRecipe, Recipe, WindowRecipe

RECIPES: Mapping[str, Recipe] = {
    "boosting": AnyTimeRecipe(
        boosting_training.train,
        "Gradient boosting (LightGBM) on hand features: quantiles for any age and horizon.",
    ),
    "window-boosting": WindowRecipe(
        window_boosting.train,
        "Gradient boosting (LightGBM) on hand features, for one window alone.",
    ),
    "seismic": AnyTimeRecipe(
        seismic.train,
        "SEISMIC (KDD 2015) in closed form: any age, any horizon, no audience sizes.",
    ),
    "loglinear": WindowRecipe(
        baselines.train_loglinear,
        "Linear in the log of the observed count (Szabo and Huberman), for one window alone.",
        seeded=False,
    ),
    "mean": WindowRecipe(
        baselines.train_mean,
        "The mean of log2(1 + increment), for one window alone.",
        seeded=False,
    ),
}
