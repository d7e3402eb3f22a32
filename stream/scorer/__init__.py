"""The scorer: forecasts and outcomes in, scores and corrections of the forecasts out."""
