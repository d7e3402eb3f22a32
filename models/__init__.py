"""The science of tidecast: forecasters, rankers, data sets, evaluation. Imports topics at most."""
