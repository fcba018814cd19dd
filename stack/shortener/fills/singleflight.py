"""Single-flight: of all who miss in one process, one asks the database and the others wait.

Source: groupcache's singleflight (see `flights`). It knows nothing of other processes, so a key
that expires costs as many queries as there are processes, at most.
"""

from __future__ import annotations

from stack.shortener.fills.base import Answer, Parts
from stack.shortener.fills.flights import Flights


class SingleFlight:
    """Each process asks at most once."""

    def __init__(self, parts: Parts) -> None:
        self._cache = parts.cache
        self._refill = parts.refill
        self._flights = Flights()

    async def read(self, code: str) -> Answer:
        """The cached link, or what this process's only query for it says."""
        entry, read_s = await self._cache.get(code)
        if entry is not None:
            return Answer(entry, "hit")

        async def ask() -> Answer:
            return Answer(await self._refill(code, read_s), "miss")

        return await self._flights.share(code, read_s, ask)

    async def close(self) -> None:
        """Nothing runs in the background."""
