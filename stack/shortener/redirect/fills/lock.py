"""A lock in Redis: of all who miss in all processes, the one who takes it asks the database.

Source: the single-instance lock of the Redis documentation (SET key token NX PX, released by a
script that compares the token). Whoever takes it looks again first, as the value may have come
between his miss and his turn; the others look again from time to time, and ask the database
themselves once they have waited too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import CacheUnavailable
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.fills.base import FillContext, FillResult, Served, pauses


class LockFill:
    """All processes together ask once."""

    def __init__(self, parts: FillContext) -> None:
        self._cache = parts.cache
        self._refill = parts.refill
        self._wait_s = parts.settings.fill_wait_s

    def serves(self, _code: str, _entry: CacheEntry, _read_s: float) -> Served:
        """Every cached link is a hit."""
        return "hit"

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """Take the lock and ask, or wait for what its holder stores."""
        token = secrets.token_hex(8)
        for pause_s in pauses(self._wait_s):
            looking_s = time.monotonic()
            taken, entry = await self._cache.lock(code, token)
            cached = FillResult(entry, "wait", looking_s) if entry is not None else None
            if taken:
                return await self._fill_locked(code, read.read_s, token, cached)
            if cached is not None:
                return cached
            await asyncio.sleep(pause_s)
        return await self._ask(code, read.read_s)

    async def _fill_locked(
        self, code: str, read_s: float, token: str, cached: FillResult | None
    ) -> FillResult:
        try:
            return cached or await self._ask(code, read_s)
        finally:
            with contextlib.suppress(CacheUnavailable):  # then it runs out by itself
                await self._cache.give_back(code, token)

    async def _ask(self, code: str, read_s: float) -> FillResult:
        filled = await self._refill(code, read_s)
        return FillResult(filled.entry, "miss", filled.proven_s)

    async def close(self) -> None:
        """Nothing runs in the background."""
