"""The heart: heartbeats into every partition of the input topics."""
