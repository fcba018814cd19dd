"""The step that every way of filling a miss shares: ask the database, store what it said."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from stack.shortener.infra.metrics import Metrics
from stack.shortener.redirect.cache import Cache, CacheUnavailable, StoreOutcome
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.origin import Origin, OriginQuery


class FilledLink(NamedTuple):
    """A link from the databases, which has every change that was answered before `proven_s`.

    The replica lags; it is the cache, which knows the newest version, that proves a value by taking
    it. In monotonic seconds.
    """

    entry: CacheEntry
    proven_s: float


@dataclass(frozen=True, slots=True)
class Refill:
    """Reads a link from the databases into the cache."""

    origin: Origin
    cache: Cache
    metrics: Metrics

    async def __call__(self, code: str, read_s: float, token: str = "") -> FilledLink:
        """The link as the database has it now, stored if the cache can be reached.

        `read_s` is when the cache was asked that did not know; with a `token` the value is stored
        only if that lease still stands. Raises `DatabaseUnavailable`.
        """
        stored_s = None
        asked_s = time.monotonic()
        question = self.origin.question(code, read_s)
        with self.metrics.filling():
            try:
                entry = await question.ask()
                entry, storing_s = await self._store(question, code, entry, token)
                stored_s = time.monotonic() if storing_s else None
            finally:
                question.log(stored_s)
        return FilledLink(entry, storing_s or asked_s)

    async def _store(
        self, question: OriginQuery, code: str, entry: CacheEntry, token: str
    ) -> tuple[CacheEntry, float | None]:
        """The link, and when it was sent to the cache that took it; `None` if it took none."""
        storing_s = time.monotonic()
        try:
            stored = await self.cache.store(code, entry, token)
            if stored is StoreOutcome.BEHIND:
                entry = await question.ask_primary()
                storing_s = time.monotonic()
                stored = await self.cache.store(code, entry, token)
        except CacheUnavailable:
            self.metrics.cache_failures += 1
            return entry, None
        return entry, storing_s if stored is StoreOutcome.STORED else None

    async def uncached(self, code: str, read_s: float) -> CacheEntry:
        """The link as the database has it now, when the cache is known to be out of reach."""
        question = self.origin.question(code, read_s)
        with self.metrics.filling():
            try:
                return await question.ask()
            finally:
                question.log(None)
