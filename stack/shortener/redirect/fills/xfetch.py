"""XFetch: each reader may refresh a value before it expires, the likelier the nearer its end.

Source: Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention",
VLDB 2015. A value that took δ seconds to compute is refreshed at t before its end with probability
e^(-t/βδ). Nobody coordinates, so nobody can block: one cycle costs e^(1/β) refreshes on average,
and there must be no lock here, or that law would not hold. A key that nobody read in time has
really expired, and is filled as by `direct`.
"""

from __future__ import annotations

import contextlib
import math
import random
import time

from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.fills.base import FillContext, FillResult, Served


def is_drawn(entry: CacheEntry, now: float, beta: float, draw: float) -> bool:
    """Whether a reader who drew `draw`, uniform in (0, 1], refreshes the value at `now`."""
    return now - entry.recompute_s * beta * math.log(draw) >= entry.fresh_until


class XFetchFill:
    """Readers refresh early, each by its own draw."""

    def __init__(self, parts: FillContext) -> None:
        self._refill = parts.refill
        self._beta = parts.settings.xfetch_beta

    def serves(self, _code: str, entry: CacheEntry, _read_s: float) -> Served | None:
        """A cached link is a hit unless this reader is drawn to refresh it."""
        drawn = is_drawn(entry, time.time(), self._beta, 1.0 - random.random())
        return None if drawn else "hit"

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """The database's; if that fails early, what is cached is still good enough."""
        if read.entry is None:
            return FillResult((await self._refill(code, read.read_s)).entry, "miss")
        with contextlib.suppress(DatabaseUnavailable):
            return FillResult((await self._refill(code, read.read_s)).entry, "early")
        return FillResult(read.entry, "hit")

    async def close(self) -> None:
        """Nothing runs in the background."""
