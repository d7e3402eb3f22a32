"""`tidecast doctor`: what the roles need, looked at one by one.

Modules:
    checks: the checks, and the order in which they are made
    input: what is found on the topics
"""

__all__ = ["checks", "input"]
