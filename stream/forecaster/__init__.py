"""The forecaster: snapshots of cascades in, forecasts of their popularity out."""
