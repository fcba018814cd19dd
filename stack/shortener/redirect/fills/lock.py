"""A lock in Redis: of all readers that miss in all processes, its holder queries the database.

Source: the single-instance lock of the Redis documentation (SET key token NX PX, released by a
script that compares the token). The holder reads the cache again first, since the value may have
been stored after its miss; the others poll the cache, and query the database themselves after
`fill_wait_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import CacheUnavailable
from stack.shortener.redirect.fills.base import Fill, pauses
from stack.shortener.redirect.refill import FillResult


class LockFill(Fill):
    """One query across all processes."""

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """Take the lock and query, or wait for the value that its holder stores."""
        token = secrets.token_hex(8)
        for pause_s in pauses(self._context.settings.fill_wait_s):
            started_s = time.monotonic()
            taken, entry = await self._context.cache.lock(code, token)
            cached = FillResult(entry, "wait", started_s) if entry is not None else None
            if taken:
                return await self._fill_locked(code, read, token, cached)
            if cached is not None:
                return cached
            await asyncio.sleep(pause_s)
        return await self._refill(code, read)

    async def _fill_locked(
        self, code: str, read: CacheRead, token: str, cached: FillResult | None
    ) -> FillResult:
        try:
            return cached or await self._refill(code, read)
        finally:
            with contextlib.suppress(CacheUnavailable):  # then it expires
                await self._context.cache.release(code, token)
