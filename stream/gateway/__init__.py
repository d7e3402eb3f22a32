"""The gateway: what comes out of the stream, over HTTP, and the live page.

    topics          -> kafka.follow -> tables (bounded) -> api -> JSON, events, the page
    consumer groups -> roles -> health

Modules:
    server: follows the topics, looks at the roles, answers
    address: where it answers
    state: what the gateway knows, and what is new of it
    tables: what it holds of each topic
    roles: who is alive, how far each has come, how late
    health: the state of the stream in words
    api: the endpoints
    queries: what may be asked
    openapi: the document of the endpoints
    live: server-sent events
    guard: what stands before every answer
    impatience: who connects and asks nothing is hung up on
    problems: answers that say why there is no other
"""

__all__ = [
    "address",
    "api",
    "guard",
    "health",
    "impatience",
    "live",
    "openapi",
    "problems",
    "queries",
    "roles",
    "server",
    "state",
    "tables",
]
