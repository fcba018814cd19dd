"""The OpenAPI 3.1 document, generated from the patterns and limits that validation uses."""

from __future__ import annotations

import json

from stack.shortener import __version__
from stack.shortener.api.openapi.components import Json, errors, headers, schemas
from stack.shortener.api.openapi.paths import Paths
from stack.shortener.settings import WebSettings

__all__ = ["as_bytes", "document"]

_ABOUT = """Create and change short links, and follow them at `/{code}`. Every error is a problem \
document (RFC 9457) that names the invalid members; a browser gets it as a page."""


def document(base: str, settings: WebSettings) -> Json:
    """The whole document of a deployment that clients reach at `base`."""
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": "URL shortener", "version": __version__, "description": _ABOUT},
        "servers": [{"url": base}],
        "paths": Paths(base, settings).all(),
        "components": {
            "schemas": schemas(settings),
            "headers": headers(),
            "responses": errors(settings),
        },
    }
    if settings.require_api_key:
        document["security"] = [{"key": []}]
        document["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "An API key."}
        }
    return document


def as_bytes(document: Json) -> bytes:
    """The document as JSON."""
    return json.dumps(document).encode()
