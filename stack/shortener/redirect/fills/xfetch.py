"""XFetch: each reader may refresh a value early, with a probability that grows towards its expiry.

Source: Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention",
VLDB 2015. A value that took δ seconds to compute is refreshed t seconds before its expiry with
probability e^(-t/βδ). There is no coordination and so no blocking: one cycle costs e^(1/β)
refreshes on average; a lock would break that law. A key without a read in time expires, and is
filled as by `direct`.
"""

from __future__ import annotations

import contextlib
import math
import random
import time

from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.fills.base import Fill, FillContext
from stack.shortener.redirect.refill import FillResult, Served


def is_drawn(entry: CacheEntry, now: float, beta: float, draw: float) -> bool:
    """True if a reader with the draw `draw`, uniform in (0, 1], refreshes the value at `now`."""
    return now - entry.recompute_s * beta * math.log(draw) >= entry.fresh_until


class XFetchFill(Fill):
    """Readers refresh early, each by its own draw."""

    def __init__(self, context: FillContext) -> None:
        super().__init__(context)
        self._beta = context.settings.xfetch_beta

    def serves(self, _code: str, entry: CacheEntry, _read_s: float) -> Served | None:
        """A hit, unless this reader is drawn to refresh it."""
        drawn = is_drawn(entry, time.time(), self._beta, 1.0 - random.random())
        return None if drawn else "hit"

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """Query the database; if an early refresh fails, serve the cached link."""
        if read.entry is None:
            return await self._refill(code, read)
        with contextlib.suppress(DatabaseUnavailable):
            return (await self._refill(code, read))._replace(served="early")
        return FillResult(read.entry, "hit")
