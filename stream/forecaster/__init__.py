"""The forecaster: snapshots of cascades in, forecasts of their popularity out.

Modules:
    role: puts it together
    batch: a batch of snapshots answered
    snapshots: what a batch holds, and what cannot be used
    answers: calls of a model that keep the deadline, and their records
    corrections: the corrections of `model.calibration`, applied
    shadows: versions that are tried on what is served
"""

__all__ = ["answers", "batch", "corrections", "role", "shadows", "snapshots"]
