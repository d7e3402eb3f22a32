"""The networks as they are trained, in PyTorch (extra `train`); their kernels need none of it."""
