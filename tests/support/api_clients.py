"""Many clients on connections of their own, for concurrent requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httptools


@dataclass
class ApiAnswer:
    """A response."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


class ApiClient(asyncio.Protocol):
    """A kept-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[ApiAnswer] | None = None
        self._answer = ApiAnswer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[ApiAnswer]:
        """Send a request; the future gets the response."""
        assert self._transport is not None
        assert self._waiting is None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        """Close the connection."""
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(f"closed without an answer: {exc}"))

    def on_message_begin(self) -> None:
        self._answer = ApiAnswer()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._answer.body += body

    def on_message_complete(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(self._answer)


class ApiClients:
    """Clients, spread evenly over servers."""

    def __init__(self, clients: Sequence[ApiClient]) -> None:
        self.clients = clients

    async def ask(self, requests: Sequence[bytes]) -> list[ApiAnswer]:
        """Send one request from each client at once; return the responses in order."""
        pairs = zip(self.clients, requests, strict=True)
        return await asyncio.gather(*[client.ask(request) for client, request in pairs])


@asynccontextmanager
async def api_clients(
    addresses: Sequence[tuple[str, int]], count: int
) -> AsyncIterator[ApiClients]:
    """Connect clients."""
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(count):
        host, port = addresses[number % len(addresses)]
        _, client = await loop.create_connection(ApiClient, host, port)
        clients.append(client)
    try:
        yield ApiClients(clients)
    finally:
        for client in clients:
            client.close()


def get(path: str) -> bytes:
    """Encode a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: sho.rt\r\n\r\n".encode()


def post(path: str, members: Mapping[str, Any], **headers: str) -> bytes:
    """Encode a POST of JSON."""
    return _with_body("POST", path, members, headers)


def patch(path: str, members: Mapping[str, Any], **headers: str) -> bytes:
    """Encode a PATCH of JSON."""
    return _with_body("PATCH", path, members, headers)


def _with_body(
    method: str, path: str, members: Mapping[str, Any], headers: Mapping[str, str]
) -> bytes:
    body = json.dumps(members).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (
        f"{method} {path} HTTP/1.1\r\nHost: sho.rt\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{lines}\r\n"
    ).encode() + body
