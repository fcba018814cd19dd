"""Rate limit per client by the generic cell rate algorithm (GCRA).

The state of a client is one time: when its full burst is available again. A request moves it by
`1 / per_s`, and is rejected if it would then lie more than a full burst ahead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_MAX_CLIENTS = 100_000  # about 15 MB; beyond it the least recently seen is dropped


@dataclass(frozen=True, slots=True)
class RateDecision:
    """`wait_s` is 0 if the request is allowed; after `full_s` the full burst is available."""

    wait_s: float
    left: int
    full_s: float


class RateLimit:
    """At most `per_s` requests a second per client, and `burst` at once."""

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst = burst
        self.burst_s = burst / per_s
        self._each_s = 1 / per_s
        self._clock = clock
        self._full_at_s: dict[str, float] = {}  # least recently seen first

    def take(self, client: str) -> RateDecision:
        """Count a request of this client, unless it must wait."""
        now_s = self._clock()
        full_at_s = max(self._full_at_s.pop(client, now_s), now_s)
        wait_s = full_at_s + self._each_s - now_s - self.burst_s
        if wait_s <= 1e-9:  # below a nanosecond: a rounding error
            wait_s = 0.0
            full_at_s += self._each_s
        self._full_at_s[client] = full_at_s
        self._drop_idle(now_s)
        full_s = full_at_s - now_s
        left = max(0, math.floor((self.burst_s - full_s) / self._each_s + 1e-6))
        return RateDecision(wait_s, left, full_s)

    def charge(self, client: str, requests: int) -> None:
        """Count more requests for a client whose request was just allowed."""
        if client in self._full_at_s:
            self._full_at_s[client] += requests * self._each_s

    def _drop_idle(self, now_s: float) -> None:
        """Look at two clients for each one added: only clients with a used burst stay."""
        for _ in range(2):
            oldest = next(iter(self._full_at_s))
            if self._full_at_s[oldest] > now_s and len(self._full_at_s) <= _MAX_CLIENTS:
                return
            del self._full_at_s[oldest]
            if not self._full_at_s:
                return
