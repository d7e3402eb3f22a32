"""The gateway: what comes out of the stream, over HTTP, and the live page.

topics -> follow -> tables (bounded) -> api -> JSON, server-sent events, page
consumer groups  -> roles -> health
"""
