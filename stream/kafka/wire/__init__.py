"""Fetched bytes as records, whatever is in them."""
