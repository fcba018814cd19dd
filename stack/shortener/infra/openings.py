"""Openings of database connections: few at a time, and each goes on until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

from stack.shortener.infra.servers import ServerConnection

AT_ONCE = 4

Open = Callable[[], Awaitable[ServerConnection]]


class Openings:
    """Opens the connections of a pool, `AT_ONCE` at a time: more are late on a busy machine.

    To open one takes several round trips and a process of the server, which may be more than the
    time of one use. So an opening goes on if the wait for it ends before, and the next request for
    a connection takes it over. Otherwise no use might ever get a connection again.
    """

    def __init__(self) -> None:
        self._few = asyncio.Semaphore(AT_ONCE)
        self._going_on: set[asyncio.Task[ServerConnection]] = set()
        self._unclaimed: list[asyncio.Task[ServerConnection]] = []

    async def connection(self, open_one: Open) -> ServerConnection:
        """Return a connection whose opening was given up by an earlier request, or a new one.

        Raises:
            ConnectionError: all openings were ended meanwhile.
        """
        opening = self._taken_over() or self._begun(open_one)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled() and not _is_cancelled():
                raise ConnectionError("the pool was closed while it connected") from None
            self._unclaimed.append(opening)
            raise

    def end(self) -> None:
        """Cancel the openings that go on, and close unclaimed connections."""
        while (opened := self._taken_over()) is not None:
            if opened.done():
                opened.result().terminate()
        for opening in self._going_on:
            opening.cancel()

    async def close(self) -> None:
        """End all openings, and wait until they have ended."""
        going_on = [*self._going_on]
        self.end()
        await asyncio.gather(*going_on, return_exceptions=True)

    def _taken_over(self) -> asyncio.Task[ServerConnection] | None:
        while self._unclaimed:
            opening = self._unclaimed.pop(0)
            if not opening.done() or _is_open(opening):
                return opening
        return None

    def _begun(self, open_one: Open) -> asyncio.Task[ServerConnection]:
        loop = asyncio.get_running_loop()
        opening = loop.create_task(self._one_of_few(open_one), context=Context())
        self._going_on.add(opening)  # the loop itself keeps no task alive
        opening.add_done_callback(self._going_on.discard)
        return opening

    async def _one_of_few(self, open_one: Open) -> ServerConnection:
        async with self._few:
            return await open_one()


def _is_cancelled() -> bool:
    """True if the running task is cancelled itself, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_open(opened: asyncio.Task[ServerConnection]) -> bool:
    failed = opened.cancelled() or opened.exception() is not None
    return not failed and not opened.result().is_closed()
