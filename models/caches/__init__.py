"""Caches and rankers of objects: decayed counts, and what other people use."""
