"""The neural rankers: CacheMamba, and the Transformer that it is compared with."""
