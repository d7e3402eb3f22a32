"""The roles of tidecast: what consumes, predicts, decides and publishes.

Told from the ground up.

Modules:
    secret: passwords and tokens that nothing shows by accident
    settings: every setting, typed
    http: what every HTTP server stands on
    processes: what is started, watched and ended
    telemetry: what a process tells of itself
    kafka: Kafka's clients
    checkpoints: state beyond a worker's life
    sources: where messages come from
    workers: the two kinds of worker
    serving: which version of a model answers
    tracker: events in, snapshots and outcomes of cascades out
    historian: requests in, windows of requests out
    forecaster: snapshots in, forecasts out
    ranker: windows in, decisions about caches out
    scorer: forecasts and outcomes in, scores and corrections out
    heart: heartbeats into every input partition
    letters: dead letters, read and sent back
    doctor: what the roles need, looked at one by one
    gateway: what comes out, over HTTP, and the live page
    edge: the agent beside one cache
    local: everything on one machine
    commands: the commands of `tidecast`
    cli: the command line
"""

import models as models  # sees to where compiled kernels are kept, before one is defined here

__all__ = [
    "checkpoints",
    "cli",
    "commands",
    "doctor",
    "edge",
    "forecaster",
    "gateway",
    "heart",
    "historian",
    "http",
    "kafka",
    "letters",
    "local",
    "processes",
    "ranker",
    "scorer",
    "secret",
    "serving",
    "settings",
    "sources",
    "telemetry",
    "tracker",
    "workers",
]
