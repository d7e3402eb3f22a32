"""`RECIPES`: every kind of model that can be trained, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from models.cascades.recordings import Source
from models.forecasters import (
    baselines,
    boosting_training,
    neural_recipes,
    seismic,
    window_boosting,
)
from models.forecasters.concat import COMPONENTS
from models.forecasters.served_training import train as train_served
from models.learning.recipes import (
    AnyTimeRecipe,
    AnyTimeTraining,
    Recipe,
    Report,
    Trained,
    WindowRecipe,
    silent,
)


class Once:
    """A training that is not run again for the same sources, seed and options.

    The members of a mixture are models in their own right: who asks for both trains them once.
    """

    def __init__(self, train: AnyTimeTraining) -> None:
        self._train = train
        self._made: dict[tuple[Any, ...], tuple[Sequence[Source], Trained]] = {}

    def __call__(
        self, sources: Sequence[Source], *, seed: int, report: Report = silent, **options: Any
    ) -> Trained:
        """What the recipe made of these, made once."""
        key = (seed, repr(sorted(options.items())), *(id(source.train) for source in sources))
        if key not in self._made:
            # The sources are held, so that none can come to be under the identity of another.
            self._made[key] = sources, self._train(sources, seed=seed, report=report, **options)
        return self._made[key][1]


def _named(train: AnyTimeTraining, name: str, **options: Any) -> AnyTimeTraining:
    """A training whose model has a name of its own."""

    def trained(sources: Sequence[Source], *, seed: int, report: Report = silent) -> Trained:
        made = train(sources, seed=seed, report=report, **options)
        made.model.name = name
        return made

    return trained


_BOOSTING = Once(boosting_training.train)
_MLP = Once(neural_recipes.train_mlp)
_CONCAT = Once(neural_recipes.train_concat)
_REGRESSION = "casft-regression"
_CASFT_REGRESSION = Once(
    _named(
        neural_recipes.train_casft,
        _REGRESSION,
        components=("encoder",),
        trend="regression",
        members=4,
        epochs=28,  # each takes twice as long as one without the encoder
    )
)

# Of the mixture that is served. Each may be written beside it, under the same version.
MEMBERS: Mapping[str, AnyTimeTraining] = {"mlp": _MLP, _REGRESSION: _CASFT_REGRESSION}

RECIPES: Mapping[str, Recipe] = {
    "served": AnyTimeRecipe(
        partial(train_served, members=MEMBERS, fallback=seismic.train),
        "What is served: the mean of the models that did best together on the validation parts.",
    ),
    "concat": AnyTimeRecipe(
        _CONCAT, "ConCat: a neural jump ODE over the events, for any age and horizon."
    ),
    "casft": AnyTimeRecipe(
        neural_recipes.train_casft,
        "CasFT: the jump ODE carried on to the horizon, and trends drawn by diffusion.",
    ),
    _REGRESSION: AnyTimeRecipe(
        _CASFT_REGRESSION,
        "CasFT with ConCat's encoder, the mean trend by regression: what is served of it.",
    ),
    "mlp": AnyTimeRecipe(
        _MLP, "A perceptron on hand features encoded piecewise-linearly, any age and horizon."
    ),
    "boosting": AnyTimeRecipe(
        _BOOSTING,
        "Gradient boosting (LightGBM) on hand features: quantiles and mean, any age and horizon.",
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


def _variant(train: AnyTimeTraining, name: str, description: str, **options: Any) -> Recipe:
    return AnyTimeRecipe(_named(train, name, **options), description)


# What is compared to tell which parts of a model earn their cost; none of it is served.
VARIANTS: Mapping[str, Recipe] = {
    **{
        f"concat+{component}": _variant(
            neural_recipes.train_concat,
            f"concat+{component}",
            f"ConCat with its {component}.",
            components=(component,),
        )
        for component in COMPONENTS
    },
    "concat-full": _variant(
        neural_recipes.train_concat,
        "concat-full",
        "ConCat with all the parts of the paper's model.",
        components=COMPONENTS,
    ),
    "casft-unencoded": _variant(
        neural_recipes.train_casft,
        "casft-unencoded",
        "The regression variant of CasFT without the encoder.",
        components=(),
        trend="regression",
        members=4,
    ),
    "casft-unencoded+likelihood": _variant(
        neural_recipes.train_casft,
        "casft-unencoded+likelihood",
        "The regression variant of CasFT without the encoder, with the likelihood.",
        components=("likelihood",),
        trend="regression",
        members=4,
    ),
    "concat-neural-flow": _variant(
        neural_recipes.train_concat,
        "concat-neural-flow",
        "ConCat with a flow of one hidden layer, by Runge-Kutta steps.",
        flow="neural",
    ),
}
