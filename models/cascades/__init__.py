"""Cascades as models read them: batches, sequences, features, observations."""
