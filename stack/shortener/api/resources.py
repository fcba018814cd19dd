"""Endpoints by method, and their responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request

from stack.shortener.http import asgi
from stack.shortener.http.problems import Problem
from stack.shortener.http.request_metrics import ROUTE


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response without the headers that all responses share."""

    status: int
    body: bytes = b""
    headers: asgi.Headers = ()


Endpoint = Callable[[Request], Awaitable[ApiResponse]]

CALLER = "shortener.caller"  # key in the ASGI scope, set after the access check
_JSON = (b"content-type", b"application/json")


def as_json(status: int, answer: BaseModel, *headers: tuple[bytes, bytes]) -> ApiResponse:
    """A JSON response, with a final newline for terminals."""
    return ApiResponse(status, to_json(answer) + b"\n", (_JSON, *headers))


class Resource:
    """Endpoints of one path by method, each with its route name for metrics; else 405."""

    def __init__(self, headers: asgi.Headers, **endpoints: tuple[str, Endpoint]) -> None:
        self._headers = headers
        self._endpoints = endpoints
        allowed = sorted([*endpoints, "HEAD"] if "GET" in endpoints else endpoints)
        self._allow = ", ".join(allowed)

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Answer the request; raises `Problem`."""
        method = scope["method"]
        found = self._endpoints.get("GET" if method == "HEAD" else method)
        if found is None:
            detail = f"method {method} is not allowed here; allowed: {self._allow}"
            raise Problem(405, detail, headers={"Allow": self._allow})
        scope[ROUTE], endpoint = found
        answer = await endpoint(Request(scope, receive))
        headers = [*answer.headers, *self._headers, *scope[CALLER].headers]
        if answer.status != 204:
            headers.append((b"content-length", b"%d" % len(answer.body)))
        await asgi.answer(send, answer.status, headers, answer.body)
