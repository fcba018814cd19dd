"""Openings of connections that go on though nobody waits for them any more."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from stack.shortener.infra.openings import AT_ONCE, Openings
from stack.shortener.infra.servers import ServerConnection


class Door:
    """Opens connections once `let` is set; counts those that are being opened."""

    def __init__(self) -> None:
        self.begun = self.going_on = self.most = 0
        self.fails = False
        self.let = asyncio.Event()
        self.opened: list[Opened] = []

    async def open(self) -> ServerConnection:
        self.begun += 1
        self.going_on += 1
        self.most = max(self.most, self.going_on)
        try:
            await self.let.wait()
        finally:
            self.going_on -= 1
        if self.fails:
            raise OSError("refused")
        self.opened.append(Opened())
        return cast(ServerConnection, self.opened[-1])


class Opened:
    closed = False

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.closed = True


async def impatient(openings: Openings, door: Door) -> None:
    """Ask for a connection, and give up."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await openings.connection(door.open)


def test_who_needs_a_connection_next_waits_for_one_that_was_given_up() -> None:
    async def main() -> None:
        openings, door = Openings(), Door()
        await impatient(openings, door)
        await impatient(openings, door)
        door.let.set()
        assert not (await openings.connection(door.open)).is_closed()
        assert door.begun == 1
        await openings.connection(door.open)
        assert door.begun == 2

    asyncio.run(main())


@pytest.mark.parametrize("spoilt", ["it failed", "its connection was closed"])
def test_an_opening_that_is_of_no_use_is_not_waited_for(spoilt: str) -> None:
    async def main() -> None:
        openings, door = Openings(), Door()
        await impatient(openings, door)
        door.fails = spoilt == "it failed"
        door.let.set()
        await asyncio.sleep(0.01)
        for connection in door.opened:
            connection.terminate()
        door.fails = False
        assert not (await openings.connection(door.open)).is_closed()
        assert door.begun == 2

    asyncio.run(main())


def test_no_more_than_some_are_opened_at_a_time() -> None:
    async def main() -> None:
        openings, door = Openings(), Door()
        door.let.set()
        opened = [openings.connection(door.open) for _ in range(3 * AT_ONCE)]
        assert len({id(connection) for connection in await asyncio.gather(*opened)}) == 3 * AT_ONCE
        assert door.most <= AT_ONCE

    asyncio.run(main())


@pytest.mark.parametrize("gives_up", [True, False])
def test_who_waits_when_all_are_ended_is_told_of_a_broken_connection(gives_up: bool) -> None:
    async def main() -> None:
        openings, door = Openings(), Door()
        waits = asyncio.create_task(openings.connection(door.open))
        await asyncio.sleep(0.01)
        openings.end()
        if gives_up:
            waits.cancel()
        with pytest.raises(asyncio.CancelledError if gives_up else ConnectionError):
            await waits

    asyncio.run(main())


@pytest.mark.parametrize("lets", [True, False])
def test_at_the_end_nothing_is_being_opened_and_nothing_unclaimed_is_open(lets: bool) -> None:
    async def main() -> None:
        openings, door = Openings(), Door()
        await impatient(openings, door)
        if lets:
            door.let.set()
            await asyncio.sleep(0.01)
        await openings.close()
        assert door.going_on == 0
        assert [connection.is_closed() for connection in door.opened] == [True] * lets

    asyncio.run(main())
