"""Naive cache-aside: whoever misses asks the database.

Source: the look-aside cache as everybody first writes it (Nishtala et al., "Scaling Memcache at
Facebook", NSDI 2013, figure 1). When a key with λ reads a second expires, everyone who reads it
during the δ seconds of the first look-up asks too: 1 + λδ queries.
"""

from __future__ import annotations

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.fills.base import FillContext, FillResult, Served


class DirectFill:
    """Each miss is one query to the database."""

    def __init__(self, parts: FillContext) -> None:
        self._refill = parts.refill

    def serves(self, _code: str, _entry: CacheEntry, _read_s: float) -> Served:
        """Every cached link is a hit."""
        return "hit"

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """The database's."""
        return FillResult((await self._refill(code, read.read_s)).entry, "miss")

    async def close(self) -> None:
        """Nothing runs in the background."""
