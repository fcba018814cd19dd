"""A pool whose server closes connections, as at its shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from chaos.model.stack import Stack
from stack.shortener.infra.database import ConnectionBroken, Database
from tests.support.databases import empty_database

pytestmark = pytest.mark.real

FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"
GIVEN_UP = b"E" + (4 + len(FIELDS)).to_bytes(4, "big") + FIELDS


class Tap:
    """A proxy that can send messages in place of the server."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._clients: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward both directions until either end closes."""
        server_reader, server_writer = await asyncio.open_connection(*self._to)
        self._clients.append(writer)
        ways = [(reader, server_writer), (server_reader, writer)]
        await asyncio.wait(
            [asyncio.create_task(_copy(*way)) for way in ways],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for end in (server_writer, writer):
            end.close()

    def send(self, message: bytes) -> int:
        """Send a message to every client; return their number."""
        for client in self._clients:
            client.write(message)
        return len(self._clients)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)


@asynccontextmanager
async def tapped(url: str) -> AsyncIterator[tuple[Tap, str]]:
    """Start a tap; yield it and the URL of the database through it."""
    at = urlsplit(url)
    assert at.hostname
    assert at.port
    tap = Tap(at.hostname, at.port)
    async with await asyncio.start_server(tap.carry, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield tap, urlunsplit(at._replace(netloc=f"{at.username}@127.0.0.1:{port}"))


def test_a_connection_that_the_server_gave_up_is_broken_and_the_next_is_a_new_one(
    stack: Stack,
) -> None:
    async def main(url: str) -> None:
        async with tapped(url) as (tap, by_tap):
            database = Database("primary", by_tap, 1, 5, [])
            await database.open()
            async with database.connection() as connection:
                assert await connection.fetchval("SELECT 1") == 1
            assert tap.send(GIVEN_UP) == 1  # and the connection stays open for now
            await asyncio.sleep(0.05)
            with pytest.raises(ConnectionBroken):
                async with database.connection() as connection:
                    await connection.fetchval("SELECT 2")
            async with database.connection() as connection:
                assert await connection.fetchval("SELECT 3") == 3
            await database.close()

    with empty_database(stack) as url:
        asyncio.run(main(url))
