"""What every way of filling a miss is given, and what it answers."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from stack.shortener.infra.metrics import Metrics
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import Cache
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.refill import Refill
from stack.shortener.settings import WebSettings

Served = Literal["near", "hit", "stale", "early", "wait", "miss"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.04


class FillResult(NamedTuple):
    """A link, and where it was served from.

    Whoever asked before `proven_s`, in monotonic seconds, may be given it, too: no change that was
    answered by then is missing in it.
    """

    entry: CacheEntry
    served: Served
    proven_s: float = math.inf


@dataclass(frozen=True, slots=True)
class FillContext:
    """What a fill works with."""

    cache: Cache
    refill: Refill
    metrics: Metrics
    settings: WebSettings


class Fill(Protocol):
    """A way to serve what the cache has, and to fill the cache when it has nothing."""

    def serves(self, code: str, entry: CacheEntry, read_s: float) -> Served | None:
        """Where a cached link is served from, or `None` if this reader has to fill first."""

    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """The link of a code that is not served from the cache.

        Raises `CacheUnavailable` and `DatabaseUnavailable`.
        """

    async def close(self) -> None:
        """End what still runs in the background."""


def pauses(longest_s: float) -> Iterator[float]:
    """Seconds to sleep between looks at another's fill, until `longest_s` have passed.

    They grow, so that a long wait costs few Redis commands, and vary, so that those who wait for
    the same value do not all ask at the same moment.
    """
    deadline_s = time.monotonic() + longest_s
    pause_s = _FIRST_PAUSE_S
    while time.monotonic() < deadline_s:
        yield pause_s * random.uniform(0.5, 1.0)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
