"""Recorded cascades and requests: their files, and what is made of them."""
