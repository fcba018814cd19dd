"""Naive cache-aside: every reader that misses queries the database.

Source: the look-aside cache of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013,
figure 1. When a key with λ reads a second expires, all that read it during the δ seconds of the
first look-up miss, too: 1 + λδ queries.
"""

from __future__ import annotations

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.fills.base import Fill
from stack.shortener.redirect.refill import FillResult


class DirectFill(Fill):
    """One database query for each miss."""

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """Query the database."""
        return await self._refill(code, read)
