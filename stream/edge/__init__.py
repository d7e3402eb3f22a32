"""The edge agent: follows the decisions about one edge and offers them to the cache beside it."""
