"""Where messages come from: recorded files, or a simulation; and the feeder that sends them.

Modules:
    formats: other people's records as ours
    messages: what a source yields
    replay: recorded cascades and requests
    simulate: a simulated world
    parameters: its parameters
    process: its state
    branching: its branching process, compiled
    feed: sends a source's messages to Kafka
    holding: holds a source at an event time, and steps it on
    too_late: refuses what begins behind its topic
"""

__all__ = [
    "branching",
    "feed",
    "formats",
    "holding",
    "messages",
    "parameters",
    "process",
    "replay",
    "simulate",
    "too_late",
]
