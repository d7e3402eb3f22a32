"""What a role says: put together, sent, and committed once all of it has arrived.

Modules:
    output: what a role publishes
    packing: outputs as a producer takes them, and what is too large for their topics
    delivery: outputs on their way, and what they allow to be committed
    ledger: which offsets may be committed
"""

__all__ = ["delivery", "ledger", "output", "packing"]
