"""The jump ODE of ConCat and CasFT as compiled kernels: what inference on a CPU runs.

Modules:
    states: from events to the states at observations
    scan: the flow and the unit, with the gradient that training takes
    encoder_states: the encoder
    trend_states: the trend to come
"""

__all__ = [
    "encoder_states",
    "scan",
    "states",
    "trend_states",
]
