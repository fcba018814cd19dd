"""The step that every way of filling a miss shares: ask the database, store what it said."""

from __future__ import annotations

import time
from dataclasses import dataclass

from stack.shortener.cache import Cache, CacheUnavailable, Stored
from stack.shortener.entry import Entry
from stack.shortener.metrics import Metrics
from stack.shortener.origin import Origin, Question


@dataclass(frozen=True, slots=True)
class Refill:
    """Reads a link from the databases into the cache."""

    origin: Origin
    cache: Cache
    metrics: Metrics

    async def __call__(self, code: str, read_s: float, token: str = "") -> Entry:
        """The link as the database has it now, stored if the cache can be reached.

        `read_s` is when the cache was asked that did not know; with a `token` the value is stored
        only if that lease still stands. Raises `DatabaseUnavailable`.
        """
        stored_s = None
        question = self.origin.question(code, read_s)
        with self.metrics.filling():
            try:
                entry = await question.ask()
                entry, stored = await self._store(question, code, entry, token)
                stored_s = time.monotonic() if stored else None
            finally:
                question.log(stored_s)
        return entry

    async def _store(
        self, question: Question, code: str, entry: Entry, token: str
    ) -> tuple[Entry, bool]:
        try:
            stored = await self.cache.store(code, entry, token)
            if stored is Stored.BEHIND:
                entry = await question.ask_primary()
                stored = await self.cache.store(code, entry, token)
        except CacheUnavailable:
            self.metrics.cache_failures += 1
            return entry, False
        return entry, stored is Stored.STORED

    async def uncached(self, code: str, read_s: float) -> Entry:
        """The link as the database has it now, when the cache is known to be out of reach."""
        question = self.origin.question(code, read_s)
        with self.metrics.filling():
            try:
                return await question.ask()
            finally:
                question.log(None)
