"""What every HTTP server stands on: who may ask, where it listens, how it says no."""
