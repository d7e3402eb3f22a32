"""The jump ODE of ConCat and CasFT: flows, scans, encoders, trends.

Modules:
    encoder: two causal Transformers over a cascade's jumps
    flows: what carries the state from one moment to another
    scan: flows between jumps, a gated unit at them, over ragged sequences
    intensity: events as a point process whose intensity the state gives
    diffusion: a conditional diffusion model of short vectors
    encoder_states: the encoder as a compiled kernel
    states: the jump ODE as a compiled kernel
    trend_states: the trend to come as a compiled kernel
"""

__all__ = [
    "diffusion",
    "encoder",
    "encoder_states",
    "flows",
    "intensity",
    "scan",
    "states",
    "trend_states",
]
