"""The step shared by all fills: query the database and store the result."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stack.shortener.infra.metrics import Metrics
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import Cache, CacheUnavailable, StoreOutcome
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.origin import Origin, OriginQuery
from stack.shortener.redirect.read_tokens import ReadToken

Served = Literal["near", "hit", "stale", "early", "wait", "miss"]  # the values of X-Cache


class FillResult(NamedTuple):
    """A link, and where it was served from.

    It includes every change acknowledged before `proven_s` (monotonic seconds), so any reader that
    missed before then may share it. The replica may lag; the cache holds the newest version's
    floor, so a value is proven when the cache accepts it. Naive settings prove nothing: a route
    that does not ask again, or no floor.
    """

    entry: CacheEntry
    served: Served
    proven_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Refill:
    """Reads a link from the databases into the cache."""

    origin: Origin
    cache: Cache
    metrics: Metrics

    async def __call__(self, code: str, read: CacheRead, token: str = "") -> FillResult:
        """Query the link, and store it if the cache is available.

        `read` is the cache miss; with a `token` the value is stored only if that lease is still
        valid. Raises `DatabaseUnavailable`.
        """
        stored_s = None
        asked_s = time.monotonic()
        query = self.origin.query(code, read.read_s, read.after)
        with self.metrics.filling():
            try:
                entry = await query.fetch()
                entry, storing_s = await self._store(query, code, entry, token)
                stored_s = time.monotonic() if storing_s else None
            finally:
                query.log(stored_s)
        return FillResult(entry, "miss", storing_s or asked_s)

    async def _store(
        self, query: OriginQuery, code: str, entry: CacheEntry, token: str
    ) -> tuple[CacheEntry, float | None]:
        """The link, and when it was sent to the cache; `None` if the cache did not store it."""
        storing_s = time.monotonic()
        try:
            stored = await self.cache.store(code, entry, token)
            if stored is StoreOutcome.BEHIND and not self.origin.route.asks_again_if_behind:
                if token:  # or the next reader would wait for it
                    await self.cache.release(code, token)
            elif stored is StoreOutcome.BEHIND:
                entry = await query.fetch_primary()
                storing_s = time.monotonic()
                stored = await self.cache.store(code, entry, token)
        except CacheUnavailable:
            self.metrics.cache_failures += 1
            return entry, None
        return entry, storing_s if stored is StoreOutcome.STORED else None

    async def uncached(self, code: str, read_s: float, after: ReadToken | None) -> FillResult:
        """Query the link while the cache is unavailable."""
        query = self.origin.query(code, read_s, after)
        with self.metrics.filling():
            try:
                return FillResult(await query.fetch(), "miss")
            finally:
                query.log(None)
