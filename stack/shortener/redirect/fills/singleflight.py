"""Single-flight: of all readers in one process that miss, one queries the database.

Source: the duplicate call suppression of groupcache (Go package singleflight, 2013). It does not
span processes, so an expired key costs at most one query for each process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.fills.base import Fill, FillContext
from stack.shortener.redirect.read_tokens import ReadToken
from stack.shortener.redirect.refill import FillResult

_REMEMBER_S = 2.0
_Key = tuple[str, ReadToken | None]


class Flights:
    """Calls for the same key at the same time share one flight; so do calls after the same write.

    One addition to groupcache: a reader that missed before the last flight landed shares its result
    even if the miss arrives later, or it would start another flight. A reader that missed after the
    result was proven may have missed because of a newer change, so it reads the cache again with
    `read_again`.
    """

    def __init__(self, read_again: Callable[[str], Awaitable[CacheRead]]) -> None:
        self._read_again = read_again
        self._flying: dict[_Key, asyncio.Task[FillResult]] = {}
        self._landed: dict[_Key, tuple[float, FillResult]] = {}

    async def share(
        self,
        code: str,
        missed_s: float,
        flight: Callable[[], Awaitable[FillResult]],
        after: ReadToken | None = None,
    ) -> FillResult:
        """The result of the current flight for this code, or of a new one.

        Readers who must see a write share with nobody who need not.
        """
        key = code, after
        while True:
            landed_s, result = self._landed.get(key, (0.0, None))
            if result is None or missed_s >= landed_s:
                task = self._flying.get(key)
                if task is None:
                    task = self._flying[key] = asyncio.ensure_future(self._fly(key, flight))
                    return await asyncio.shield(task)
                result = await asyncio.shield(task)
            if missed_s <= result.proven_s:
                return FillResult(result.entry, "wait")
            read = await self._read_again(code)
            if read.entry is not None:
                return FillResult(read.entry, "wait")
            missed_s = read.read_s

    async def _fly(self, key: _Key, flight: Callable[[], Awaitable[FillResult]]) -> FillResult:
        try:
            result = await flight()
            landed = self._landed[key] = (time.monotonic(), result)
            asyncio.get_running_loop().call_later(_REMEMBER_S, self._expire, key, landed)
            return result
        finally:
            del self._flying[key]

    def _expire(self, key: _Key, landed: tuple[float, FillResult]) -> None:
        if self._landed.get(key) is landed:
            del self._landed[key]


class SingleFlightFill(Fill):
    """At most one query at a time in each process."""

    def __init__(self, context: FillContext) -> None:
        super().__init__(context)
        self._flights = Flights(context.cache.get)

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """Share this process's one query for the code."""
        query = partial(self._refill, code, read)
        return await self._flights.share(code, read.read_s, query, read.after)
