"""Requests to an ASGI app without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stack.shortener.http import asgi


@dataclass(frozen=True)
class AsgiAnswer:
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


def ask(
    app: asgi.App,
    method: str,
    target: str,
    headers: Mapping[str, str] = {},
    body: bytes | Sequence[asgi.Message] = b"",
    peer: str = "203.0.113.9",
) -> AsgiAnswer:
    """Send a request to the app; a body may be given as ASGI messages."""
    parts = urlsplit(target)
    given = {"host": "s.example", **headers}
    scope: asgi.Scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": (peer, 50_000),
        "server": ("127.0.0.1", 8000),
    }
    messages = [{"type": "http.request", "body": body}] if isinstance(body, bytes) else [*body]
    sent: list[asgi.Message] = []

    async def receive() -> asgi.Message:
        if not messages:
            await asyncio.Event().wait()  # as on an idle connection
        return messages.pop(0)

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    start = sent[0]
    pairs = [(name.decode(), value.decode()) for name, value in start["headers"]]
    assert len({name for name, _ in pairs}) == len(pairs), "a header is there twice"
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return AsgiAnswer(start["status"], dict(pairs), body)
