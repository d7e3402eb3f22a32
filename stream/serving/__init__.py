"""Which version of a model answers, loaded and timed.

Modules:
    current: the version at the start, and those that updates bring
    model_watch: what `model.updates` says of one model
    loading: a model loaded, warmed up and timed
    cost: how long a call takes, learnt from calls
    rankers: what makes the ranker of each edge
"""

__all__ = ["cost", "current", "loading", "model_watch", "rankers"]
