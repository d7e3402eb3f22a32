"""The forecasters: what each is, and how it is trained.

Modules:
    served: the weighted mean of several, calibrated: what is served
    served_training: its training
    concat: a neural jump ODE over a cascade's events
    casft: ConCat whose flow goes on to the horizon
    jump_ode: the kernels of these two
    mlp: a perceptron on hand features
    neural: any of these networks as a forecaster
    networks: these as they are trained
    neural_recipes: their training
    boosting: gradient boosting on hand features
    boosting_training: its training
    window_boosting: gradient boosting for one window alone, to compare with
    seismic: the closed-form self-exciting estimate
    baselines: what knows only how many events were observed
    reading: what those have in common that read hand features alone
    quantiles: from raw quantiles to a forecast
    calibration: what a model's answers are corrected by
"""

__all__ = [
    "baselines",
    "boosting",
    "boosting_training",
    "calibration",
    "casft",
    "concat",
    "jump_ode",
    "mlp",
    "networks",
    "neural",
    "neural_recipes",
    "quantiles",
    "reading",
    "seismic",
    "served",
    "served_training",
    "window_boosting",
]
