"""Who may talk to the brokers: how clients connect, and what they are allowed.

Modules:
    security: how every client connects
    oauth: tokens for SASL OAUTHBEARER
    authorization: what a broker does not allow, in words
    acls: who may do what on the brokers
"""

__all__ = ["acls", "authorization", "oauth", "security"]
