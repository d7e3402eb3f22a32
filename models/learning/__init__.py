"""How anything is trained: recipes, the loop, checkpoints, layers, files of networks."""
