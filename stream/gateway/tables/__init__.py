"""What the gateway holds of each topic, as its pages and its API show it.

Modules:
    cascades: forecasts over time, growth curves, what came true
    curve: how many events there were at each age
    graph: who spread it to whom
    edges: epochs, and the decisions in force
    models: how well each version does
    heartbeats: which have come through each stage
    places: whether what belongs together lies in one partition
    views: the types of all answers
"""

__all__ = ["cascades", "curve", "edges", "graph", "heartbeats", "models", "places", "views"]
