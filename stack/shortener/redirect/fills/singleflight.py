"""Single-flight: of all who miss in one process, one asks the database and the others wait.

Source: groupcache's singleflight (see `flights`). It knows nothing of other processes, so a key
that expires costs as many queries as there are processes, at most.
"""

from __future__ import annotations

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.fills.base import FillContext, FillResult, Served
from stack.shortener.redirect.fills.flights import Flights


class SingleFlightFill:
    """Each process asks at most once."""

    def __init__(self, parts: FillContext) -> None:
        self._refill = parts.refill
        self._flights = Flights(parts.cache.get)

    def serves(self, _code: str, _entry: CacheEntry, _read_s: float) -> Served:
        """Every cached link is a hit."""
        return "hit"

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """What this process's only query for it says."""

        async def ask() -> FillResult:
            filled = await self._refill(code, read.read_s)
            return FillResult(filled.entry, "miss", filled.proven_s)

        return await self._flights.share(code, read.read_s, ask)

    async def close(self) -> None:
        """Nothing runs in the background."""
