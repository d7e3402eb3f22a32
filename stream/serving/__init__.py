"""Which version of a model answers, loaded and timed."""
