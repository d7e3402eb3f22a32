"""How anything is trained: recipes, the loop, checkpoints, layers, files of networks.

Modules:
    recipes: what a recipe is given and tells, and the two kinds there are
    loop: the training of a network
    checkpoint: a training that was interrupted goes on where it was
    layers: layers that several networks share
    network_files: the configuration and the weights of a network
    weights: weights by name, held to their shapes
"""

__all__ = ["checkpoint", "layers", "loop", "network_files", "recipes", "weights"]
