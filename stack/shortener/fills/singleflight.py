"""Single-flight: of all who miss in one process, one asks the database and the others wait.

Source: groupcache's singleflight (see `flights`). It knows nothing of other processes, so a key
that expires costs as many queries as there are processes, at most.
"""

from __future__ import annotations

from stack.shortener.entry import Entry
from stack.shortener.fills.base import Answer, Parts, Served
from stack.shortener.fills.flights import Flights
from stack.shortener.merged import Read


class SingleFlight:
    """Each process asks at most once."""

    def __init__(self, parts: Parts) -> None:
        self._refill = parts.refill
        self._flights = Flights(parts.cache.get)

    def serves(self, _code: str, _entry: Entry, _read_s: float) -> Served:
        """Every cached link is a hit."""
        return "hit"

    async def fill(self, code: str, read: Read) -> Answer:
        """What this process's only query for it says."""

        async def ask() -> Answer:
            filled = await self._refill(code, read.read_s)
            return Answer(filled.entry, "miss", filled.proven_s)

        return await self._flights.share(code, read.read_s, ask)

    async def close(self) -> None:
        """Nothing runs in the background."""
