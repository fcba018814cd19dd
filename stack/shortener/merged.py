"""One Redis read for all look-ups of one turn of the event loop.

Under load a turn serves many requests; a command costs the client more than a key in it does, so
one MGET in place of many GETs is the difference between a slow and a fast redirect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from stack.shortener.entry import Entry


class Read(NamedTuple):
    """What the cache had for a code, and the monotonic second at which it was asked."""

    entry: Entry | None
    read_s: float


Fetch = Callable[[Sequence[str]], Awaitable[Sequence[bytes | None]]]
Unpack = Callable[[bytes | None], Entry | None]


class MergedReads:
    """Gathers the codes asked for in one turn, and fetches them together."""

    def __init__(self, fetch: Fetch, unpack: Unpack) -> None:
        self._fetch = fetch
        self._unpack = unpack
        self._waiting: dict[str, asyncio.Future[Read]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def get(self, code: str) -> asyncio.Future[Read]:
        """A future of what the cache holds; it raises what the fetch raised."""
        future = self._waiting.get(code)
        if future is None:
            loop = asyncio.get_running_loop()
            if not self._waiting:
                loop.call_soon(self._flush)
            future = self._waiting[code] = loop.create_future()
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        task = asyncio.get_running_loop().create_task(self._answer(waiting))
        self._running.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._running.discard)

    async def _answer(self, waiting: dict[str, asyncio.Future[Read]]) -> None:
        read_s = time.monotonic()
        try:
            values = await self._fetch(list(waiting))
        except Exception as error:
            for future in waiting.values():
                _fail(future, error)
        else:
            for future, value in zip(waiting.values(), values, strict=True):
                if not future.done():
                    future.set_result(Read(self._unpack(value), read_s))


def _fail(future: asyncio.Future[Read], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # marks it as seen: whoever asked may be gone
