"""The scorer: forecasts and outcomes in, scores and corrections of the forecasts out.

Modules:
    role: puts it together
    join: forecasts held against outcomes
    calibrator: from scores to corrections
    quality: how good the latest forecasts were, as metrics
    adwin: a window that is cut where the mean of what comes has changed
    drift: whether input or errors change
    versions: which version is served, and whether one is better
"""

__all__ = ["adwin", "calibrator", "drift", "join", "quality", "role", "versions"]
