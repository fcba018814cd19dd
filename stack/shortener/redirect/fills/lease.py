"""Leases: the cache gives one reader that misses a token, and only this token may fill the key.

Source: Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1. A token of 64
bits is bound to the key; while it is valid no other is given, and a change of the link voids it, so
that a value read before the change cannot be stored after it. Reading and leasing are one atomic
step, and so are storing and ending the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import CacheUnavailable
from stack.shortener.redirect.fills.base import Fill, pauses
from stack.shortener.redirect.refill import FillResult


class LeaseFill(Fill):
    """One query across all processes, and no stale value is stored."""

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """Take the lease and query, or wait for the value that its holder stores."""
        token = secrets.token_hex(8)
        for pause_s in pauses(self._context.settings.fill_wait_s):
            leased, entry = await self._context.cache.lease(code, token)
            if leased:
                return await self._fill_leased(code, read, token)
            if entry is not None:
                return FillResult(entry, "wait")
            await asyncio.sleep(pause_s)
        return await self._refill(code, read)

    async def _fill_leased(self, code: str, read: CacheRead, token: str) -> FillResult:
        try:
            return await self._refill(code, read, token)
        except BaseException:
            with contextlib.suppress(CacheUnavailable):  # then it expires
                await self._context.cache.release(code, token)
            raise
