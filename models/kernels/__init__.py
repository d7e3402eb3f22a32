"""Compiled arithmetic that knows no cascade."""
