"""The jump ODE of ConCat and CasFT: flows, scans, encoders, trends."""
