"""Processes that are started, watched and ended: children, signals, roles as commands."""
