"""A pool whose server closes connections, as at its shutdown, or answers no more."""

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


SWALLOWED = "SELECT 'swallowed'"


class Tap:
    """A proxy that can send messages in place of the server, and swallow those to it."""

    def __init__(self, host: str, port: int) -> None:
        self.swallows = False
        self.swallowed = asyncio.Event()
        self._ended = asyncio.Event()
        self._to = host, port
        self._clients: list[asyncio.StreamWriter] = []
        self._carrying: list[asyncio.Task[None] | None] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward both directions until either end closes, or the tap has ended."""
        self._carrying.append(asyncio.current_task())
        server_reader, server_writer = await asyncio.open_connection(*self._to)
        self._clients.append(writer)
        ways = [
            self._copy(reader, server_writer),
            self._copy(server_reader, writer),
            self._ended.wait(),
        ]
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (server_writer, writer):
            end.transport.abort()

    def send(self, message: bytes) -> int:
        """Send a message to every client; return their number."""
        for client in self._clients:
            client.write(message)
        return len(self._clients)

    async def end(self) -> None:
        """Close all connections."""
        self._ended.set()
        await asyncio.gather(*filter(None, self._carrying))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if self.swallows and SWALLOWED.encode() in data:
                    self.swallowed.set()
                    await self._ended.wait()
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
        server.close()
        await tap.end()


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


@asynccontextmanager
async def being_opened(url: str) -> AsyncIterator[tuple[Tap, asyncio.Task[None]]]:
    """Open a pool whose server swallows a statement that is prepared."""
    async with tapped(url) as (tap, by_tap):
        tap.swallows = True
        database = Database("primary", by_tap, 2, 1, [SWALLOWED])
        opening = asyncio.create_task(database.open())
        await tap.swallowed.wait()
        yield tap, opening
        await database.close()


def test_opening_ends_at_once_when_it_is_cancelled_before_a_server_that_answers_no_more(
    stack: Stack,
) -> None:
    async def main(url: str) -> None:
        async with being_opened(url) as (_, opening):
            opening.cancel()
            await asyncio.wait([opening], timeout=5)
            assert opening.cancelled()

    with empty_database(stack) as url:
        asyncio.run(main(url))


def test_a_pool_opens_once_its_server_answers_again(stack: Stack) -> None:
    async def main(url: str) -> None:
        async with being_opened(url) as (tap, opening):
            tap.swallows = False
            await asyncio.wait([opening], timeout=5)
            assert opening.done()

    with empty_database(stack) as url:
        asyncio.run(main(url))
