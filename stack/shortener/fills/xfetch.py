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
from stack.shortener.fills.base import Answer, Parts, Served
from stack.shortener.merged import Read


def is_drawn(entry: Entry, now: float, beta: float, draw: float) -> bool:
    """Whether a reader who drew `draw`, uniform in (0, 1], refreshes the value at `now`."""
    return now - entry.recompute_s * beta * math.log(draw) >= entry.fresh_until


class XFetch:
    """Readers refresh early, each by its own draw."""

    def __init__(self, parts: Parts) -> None:
        self._refill = parts.refill
        self._beta = parts.settings.xfetch_beta

    def serves(self, _code: str, entry: Entry, _read_s: float) -> Served | None:
        """A cached link is a hit unless this reader is drawn to refresh it."""
        drawn = is_drawn(entry, time.time(), self._beta, 1.0 - random.random())
        return None if drawn else "hit"

    async def fill(self, code: str, read: Read) -> Answer:
        """The database's; if that fails early, what is cached is still good enough."""
        if read.entry is None:
            return Answer((await self._refill(code, read.read_s)).entry, "miss")
        with contextlib.suppress(DatabaseUnavailable):
            return Answer((await self._refill(code, read.read_s)).entry, "early")
        return Answer(read.entry, "hit")

    async def close(self) -> None:
        """Nothing runs in the background."""
