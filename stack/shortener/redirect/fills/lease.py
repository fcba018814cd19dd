"""Leases: the cache gives one of those who miss a token, and only this token may fill the key.

Source: Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1. A token of 64
bits is bound to the key; while it stands nobody else gets one, and a change of the link voids it,
so that a value read before the change cannot be stored after it. Looking and leasing are one step,
and so are storing and ending the lease: nobody can slip between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import CacheUnavailable
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.fills.base import FillContext, FillResult, Served, pauses


class LeaseFill:
    """All processes together ask once, and no stale value gets in."""

    def __init__(self, parts: FillContext) -> None:
        self._cache = parts.cache
        self._refill = parts.refill
        self._wait_s = parts.settings.fill_wait_s

    def serves(self, _code: str, _entry: CacheEntry, _read_s: float) -> Served:
        """Every cached link is a hit."""
        return "hit"

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """What the holder of the lease was told, who may be this reader."""
        token = secrets.token_hex(8)
        for pause_s in pauses(self._wait_s):
            leased, entry = await self._cache.lease(code, token)
            if leased:
                return await self._fill_leased(code, read.read_s, token)
            if entry is not None:
                return FillResult(entry, "wait")
            await asyncio.sleep(pause_s)
        return FillResult((await self._refill(code, read.read_s)).entry, "miss")

    async def _fill_leased(self, code: str, read_s: float, token: str) -> FillResult:
        try:
            return FillResult((await self._refill(code, read_s, token)).entry, "miss")
        except BaseException:
            with contextlib.suppress(CacheUnavailable):  # then it runs out by itself
                await self._cache.give_back(code, token)
            raise

    async def close(self) -> None:
        """Nothing runs in the background."""
