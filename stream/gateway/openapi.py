"""The OpenAPI document, made from the endpoints and the types that they answer with."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from stream.gateway.api import ENDPOINTS, Endpoint
from stream.http.problems import MEDIA, Problem

_REF = "#/components/schemas/{name}"
_REASONS = {
    "400": "A parameter is unknown or not allowed as it is.",
    "401": "The token is missing or another, where one is asked for.",
    "404": "It is not held.",
    "429": "Too many requests from one address.",
    "503": "Not yet, or too many.",
}


def document(version: str) -> dict[str, Any]:
    """The document, as JSON has it."""
    answers = [endpoint.answer for endpoint in ENDPOINTS]
    _, components = msgspec.json.schema_components([*answers, Problem], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tidecast gateway",
            "version": version,
            "description": "Forecasts of popularity, decisions for edge caches, and how both turn "
            "out. Read-only. Times are unix seconds of event time unless their name says `wall`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {endpoint.path: {"get": _operation(endpoint)} for endpoint in ENDPOINTS},
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=endpoint.answer.__name__)}
    # Of a stream of events the schema is that of the data of `changes`.
    content = {endpoint.media: {"schema": schema}}
    refused = {"content": {MEDIA: {"schema": {"$ref": _REF.format(name="Problem")}}}}
    named = re.findall(r"{(\w+)}", endpoint.path)
    reasons = [
        status
        for status in _REASONS
        if (status != "404" or named) and (status != "503" or endpoint.method == "stream")
    ]
    answers: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    if endpoint.method == "ready":
        answers["503"] = {"description": "Still reading.", "content": content}
    return {
        "operationId": endpoint.method,
        "summary": endpoint.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in named
        ]
        + _parameters(endpoint.query),
        "responses": answers | {status: {"description": _REASONS[status]} | refused
                                for status in reasons},
    }  # fmt: skip


def _parameters(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    schema = msgspec.json.schema(query)["$defs"][query.__name__]
    found = []
    for name, about in schema.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "schema": about}
        if "description" in about:
            parameter["description"] = about.pop("description")
        found.append(parameter)
    return found
