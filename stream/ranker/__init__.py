"""The ranker: windows of requests in, decisions about each edge's cache out."""
