"""The protocol of a fill, its inputs and its results."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from stack.shortener.infra.metrics import Metrics
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import Cache
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.refill import FillResult, Refill, Served
from stack.shortener.settings import WebSettings

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.04


@dataclass(frozen=True, slots=True)
class FillContext:
    """Dependencies of a fill."""

    cache: Cache
    refill: Refill
    metrics: Metrics
    settings: WebSettings


class Fill(ABC):
    """A strategy for serving what the cache has, and for filling it on a miss."""

    def __init__(self, context: FillContext) -> None:
        self._context = context
        self._refill = context.refill

    @property
    def name(self) -> str:
        """The name of its module, which is its value of CACHE_FILL."""
        return type(self).__module__.rpartition(".")[2]

    def serves(self, code: str, entry: CacheEntry, read_s: float) -> Served | None:  # noqa: ARG002
        """The X-Cache value of a cached link; `None` if this reader has to fill first."""
        return "hit"

    @abstractmethod
    async def fill(self, code: str, read: CacheRead) -> FillResult:
        """The link of a code that is not served from the cache.

        Raises `CacheUnavailable` and `DatabaseUnavailable`.
        """

    async def close(self) -> None:
        """Cancel background work."""
        return


def zero_served() -> Counter[str]:
    """A count of zero for each value of X-Cache."""
    return Counter(dict.fromkeys(get_args(Served), 0))


def pauses(longest_s: float) -> Iterator[float]:
    """Seconds to sleep between checks of another reader's fill, until `longest_s` have passed.

    They grow, so that a long wait costs few Redis commands, and vary, so that readers of the same
    key do not check at the same moment.
    """
    deadline_s = time.monotonic() + longest_s
    pause_s = _FIRST_PAUSE_S
    while time.monotonic() < deadline_s:
        yield pause_s * random.uniform(0.5, 1.0)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
