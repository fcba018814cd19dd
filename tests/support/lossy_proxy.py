"""A proxy before Postgres that breaks a connection just as its next statement passes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

# What becomes of the statement: nothing, done without its answer, or done only later.
Fault = Literal["request lost", "answer lost", "request late"]
LATE_S = 0.4


class LossyProxy:
    """Forwards bytes; breaks one connection for each fault that it is given."""

    def __init__(self, host: str, port: int) -> None:
        self.next: Fault | None = None
        self._to = host, port

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        with _aborted_at_the_end(writer), contextlib.suppress(OSError):
            server_reader, server_writer = await asyncio.open_connection(*self._to)
            with _aborted_at_the_end(server_writer):
                answering = asyncio.create_task(_copy(server_reader, writer))
                fault = await self._forward(reader, server_writer)
                answering.cancel()
                if fault:
                    await _break(*fault, server_reader, server_writer, writer)

    async def _forward(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> tuple[Fault, bytes] | None:
        """Forward what the client sends, until its end or to the statement of the next fault."""
        while data := await reader.read(65_536):
            fault, self.next = self.next, None
            if fault:
                return fault, data
            server.write(data)
        return None


@contextlib.contextmanager
def _aborted_at_the_end(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    finally:
        writer.transport.abort()


async def _break(
    fault: Fault,
    data: bytes,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
    client: asyncio.StreamWriter,
) -> None:
    await asyncio.sleep(0)  # so that nobody else reads the server's answer
    if fault == "answer lost":
        server_writer.write(data)
        await server_reader.read(1)
    client.transport.abort()
    if fault == "request late":
        await asyncio.sleep(LATE_S)
        server_writer.write(data)
        await server_reader.read(1)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()  # a client that closes its connection waits for this


@asynccontextmanager
async def lossy(url: str) -> AsyncIterator[tuple[LossyProxy, str]]:
    """Start a proxy; yield it and the URL of the database through it."""
    at = urlsplit(url)
    assert at.hostname
    assert at.port
    proxy = LossyProxy(at.hostname, at.port)
    async with await asyncio.start_server(proxy.carry, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield proxy, urlunsplit(at._replace(netloc=f"{at.username}@127.0.0.1:{port}"))
