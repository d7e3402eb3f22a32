"""What a process tells of itself: lines of log, metrics, spans, and what it noticed."""
