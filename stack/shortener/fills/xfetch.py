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

from stack.shortener.db import DatabaseUnavailable
from stack.shortener.entry import Entry
from stack.shortener.fills.base import Answer, Parts


def is_drawn(entry: Entry, now: float, beta: float, draw: float) -> bool:
    """Whether a reader who drew `draw`, uniform in (0, 1], refreshes the value at `now`."""
    return now - entry.recompute_s * beta * math.log(draw) >= entry.fresh_until


class XFetch:
    """Readers refresh early, each by its own draw."""

    def __init__(self, parts: Parts) -> None:
        self._cache = parts.cache
        self._refill = parts.refill
        self._beta = parts.settings.xfetch_beta

    async def read(self, code: str) -> Answer:
        """The cached link, or the database's if it is missing or this reader is drawn."""
        entry, read_s = await self._cache.get(code)
        if entry is None:
            return Answer(await self._refill(code, read_s), "miss")
        if is_drawn(entry, time.time(), self._beta, 1.0 - random.random()):
            with contextlib.suppress(DatabaseUnavailable):  # what we have is good enough, then
                return Answer(await self._refill(code, read_s), "early")
        return Answer(entry, "hit")

    async def close(self) -> None:
        """Nothing runs in the background."""
