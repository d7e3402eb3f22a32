"""Whether it is any good: metrics, comparisons, corrections by what came."""
