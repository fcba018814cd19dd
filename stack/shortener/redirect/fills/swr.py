"""Stale-while-revalidate: an expired value is served at once while one refresh runs behind it.

Source: RFC 5861 (Nottingham, 2010), moved from HTTP caches to this one. A value is kept for a stale
window beyond its time to live; the first reader after its expiry starts a refresh in the
background: one a process and, by the lock in Redis, one in all. Readers wait only for a value that
is gone altogether, for a single flight that holds the lock.
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
from stack.shortener.redirect.fills.base import Fill, FillContext
from stack.shortener.redirect.fills.lock import LockFill
from stack.shortener.redirect.fills.singleflight import Flights
from stack.shortener.redirect.refill import FillResult, Served


class StaleWhileRevalidateFill(Fill):
    """Background refreshes, one at a time for each key."""

    def __init__(self, context: FillContext) -> None:
        super().__init__(context)
        self._lock_fill = LockFill(context)
        self._flights = Flights(context.cache.get)
        self._refreshing: dict[str, asyncio.Task[None]] = {}

    def serves(self, code: str, entry: CacheEntry, read_s: float) -> Served:
        """A hit, or a stale link and the start of its refresh."""
        if time.time() < entry.fresh_until:
            return "hit"
        if code not in self._refreshing:
            self._refreshing[code] = asyncio.ensure_future(self._refresh(code, read_s))
        return "stale"

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """Share this process's one flight, which takes the lock."""
        return await self._flights.share(
            code, read.read_s, lambda: self._lock_fill.fill(code, read), read.after
        )

    async def _refresh(self, code: str, read_s: float) -> None:
        try:
            with (
                self._context.metrics.filling(),
                contextlib.suppress(CacheUnavailable, DatabaseUnavailable),
            ):
                await self._refresh_locked(code, read_s)
        finally:
            del self._refreshing[code]

    async def _refresh_locked(self, code: str, read_s: float) -> None:
        """Refresh if this process gets the lock and the value is still stale.

        After a failure the lock is kept until it expires, to spare a failing database.
        """
        token = secrets.token_hex(8)
        taken, entry = await self._context.cache.lock(code, token)
        if not taken:
            return
        if entry is None or entry.fresh_until <= time.time():
            await self._refill(code, CacheRead(None, read_s))
        await self._context.cache.release(code, token)

    async def close(self) -> None:
        """Cancel the refreshes in flight."""
        for task in list(self._refreshing.values()):
            task.cancel()
        await asyncio.gather(*self._refreshing.values(), return_exceptions=True)
