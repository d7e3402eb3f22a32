"""Where messages come from: recorded files, or a simulation; and the feeder that sends them."""
