"""The roles of tidecast: what consumes, predicts, decides and publishes."""
