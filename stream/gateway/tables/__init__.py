"""What the gateway holds of each topic, as its pages and its API show it."""
