"""The historian: requests at edges in, closed windows of requests out."""
