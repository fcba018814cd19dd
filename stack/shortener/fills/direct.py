"""Naive cache-aside: whoever misses asks the database.

Source: the look-aside cache as everybody first writes it (Nishtala et al., "Scaling Memcache at
Facebook", NSDI 2013, figure 1). When a key with λ reads a second expires, everyone who reads it
during the δ seconds of the first look-up asks too: 1 + λδ queries.
"""

from __future__ import annotations

from stack.shortener.fills.base import Answer, Parts


class Direct:
    """Each miss is one query to the database."""

    def __init__(self, parts: Parts) -> None:
        self._cache = parts.cache
        self._refill = parts.refill

    async def read(self, code: str) -> Answer:
        """The cached link, or the database's."""
        entry, read_s = await self._cache.get(code)
        if entry is not None:
            return Answer(entry, "hit")
        return Answer(await self._refill(code, read_s), "miss")

    async def close(self) -> None:
        """Nothing runs in the background."""
