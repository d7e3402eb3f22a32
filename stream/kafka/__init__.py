"""Kafka's clients: connected, authenticated, and read alike by whoever reads a log."""
