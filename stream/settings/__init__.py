"""Settings of every role: one typed object, filled from environment over file over default.

Each domain has a dataclass in a file of its own; `Settings` is all of them. This room alone hands
out what is in it, for everybody needs the one object and nobody a part of it.

    SettingsError(TidecastError, ValueError)    a setting that is unknown or not allowed as it is

Modules:
    together: all domains in one object
    loading: where values come from
    spelling: how values are written and read
    domain: what every domain has: reasons, bounds
    kafka: brokers, groups, batches
    kafka_security: how clients and brokers know each other
    cascades: what the tracker makes of events
    edges: what historian and ranker make of requests
    edge_agents: one agent beside one cache
    models: which models answer, and how fast
    gateway: the live page and the API
    http_access: who may ask over HTTP
    scores: what waits for its outcome
    checkpoints: the store of state
    telemetry: heartbeats, metrics, logs, spans
"""

from stream.settings.http_access import HTTP_SERVERS
from stream.settings.loading import load, load_with_origins
from stream.settings.spelling import PREFIX, Duration, SettingsError, spell
from stream.settings.together import Settings, domains

__all__ = [
    "HTTP_SERVERS",
    "PREFIX",
    "Duration",
    "Settings",
    "SettingsError",
    "domains",
    "load",
    "load_with_origins",
    "spell",
]
