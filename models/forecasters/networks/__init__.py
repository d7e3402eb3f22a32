"""The networks as they are trained, in PyTorch (extra `train`); their kernels need none of it.

Modules:
    concat: ConCat, and what makes weights of a network
    casft: CasFT, and its sampling
    mlp: the perceptron
    jump_ode: flows between jumps, a gated unit at them
    flows: what carries the state from one moment to another
    encoder: two causal Transformers over a cascade's jumps
    intensity: events as a point process whose intensity the state gives
    diffusion: a conditional diffusion model of short vectors
"""

__all__ = [
    "casft",
    "concat",
    "diffusion",
    "encoder",
    "flows",
    "intensity",
    "jump_ode",
    "mlp",
]
