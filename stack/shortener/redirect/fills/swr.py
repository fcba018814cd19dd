"""Stale-while-revalidate: an expired value is served at once while one refresh runs behind it.

Source: RFC 5861 (Nottingham, 2010), moved from HTTP caches to this one. A value is kept for a stale
window beyond its time to live; the first who finds it expired starts a refresh in the background,
once a process and, by the lock in Redis, once for all of them. Only a value that is quite gone
makes readers wait, for a single flight that holds the lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time

from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import CacheUnavailable
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.fills.base import FillContext, FillResult, Served
from stack.shortener.redirect.fills.flights import Flights
from stack.shortener.redirect.fills.lock import LockFill


class StaleWhileRevalidateFill:
    """Nobody waits for a refresh, and there is one at a time."""

    def __init__(self, parts: FillContext) -> None:
        self._parts = parts
        self._cold = LockFill(parts)
        self._flights = Flights(parts.cache.get)
        self._refreshing: dict[str, asyncio.Task[None]] = {}

    def serves(self, code: str, entry: CacheEntry, read_s: float) -> Served:
        """Every cached link is served, however stale; a stale one starts a refresh."""
        if time.time() < entry.fresh_until:
            return "hit"
        if code not in self._refreshing:
            self._refreshing[code] = asyncio.ensure_future(self._refresh(code, read_s))
        return "stale"

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """What the one flight of this process is told that holds the lock."""
        return await self._flights.share(code, read.read_s, lambda: self._cold.fill(code, read))

    async def _refresh(self, code: str, read_s: float) -> None:
        try:
            with (
                self._parts.metrics.filling(),
                contextlib.suppress(CacheUnavailable, DatabaseUnavailable),
            ):
                await self._refresh_locked(code, read_s)
        finally:
            del self._refreshing[code]

    async def _refresh_locked(self, code: str, read_s: float) -> None:
        """Refresh if the lock is ours and the value still stale.

        After a failure the lock is left to run out: a database in trouble is not asked again by
        every reader.
        """
        token = secrets.token_hex(8)
        taken, entry = await self._parts.cache.lock(code, token)
        if not taken:
            return
        if entry is None or entry.fresh_until <= time.time():
            await self._parts.refill(code, read_s)
        await self._parts.cache.give_back(code, token)

    async def close(self) -> None:
        """Give up the refreshes that still run."""
        for task in list(self._refreshing.values()):
            task.cancel()
        await asyncio.gather(*self._refreshing.values(), return_exceptions=True)
