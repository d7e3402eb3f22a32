"""The commands of `tidecast`, one module a topic; `stream.cli` puts them together.

Modules:
    up: `tidecast up`
    broker: `tidecast broker`
    traffic: `tidecast replay` and `tidecast simulate`
    models: `tidecast train`, `evaluate` and `models`
    dead_letters: `tidecast dead-letters`
    formats: `tidecast formats`
    acls: `tidecast topics acls`
    contract: `tidecast contract`
    settings: `tidecast settings`
    checks: files and folders of a command, looked at before it begins to work
"""

__all__ = [
    "acls",
    "broker",
    "checks",
    "contract",
    "dead_letters",
    "formats",
    "models",
    "settings",
    "traffic",
    "up",
]
