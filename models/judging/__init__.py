"""Whether it is any good: metrics, comparisons, corrections by what came.

Modules:
    metrics: metrics of forecasts, as the literature on cascades defines them
    evaluation: how good a model's forecasts of recorded cascades are
    comparison: several models on the same cascades
    candidates: the models that are to be compared, kept from one run to the next
    comparison_plot: a picture of that comparison
    prequential: forecasts of recorded cascades as a stream makes them
    conformal: corrections by what came of earlier forecasts
    confidence: a test whether one is better, that may be looked at at any time
    caching: cache policies side by side on one trace
    cache_policies: the policies that are compared, by name
    caching_plot: a picture of that comparison
    ranking: how well rankers foresee what will be asked for
"""

__all__ = [
    "cache_policies",
    "caching",
    "caching_plot",
    "candidates",
    "comparison",
    "comparison_plot",
    "confidence",
    "conformal",
    "evaluation",
    "metrics",
    "prequential",
    "ranking",
]
