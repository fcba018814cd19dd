"""A bound on how often each client may ask: the generic cell rate algorithm (GCRA).

All that is kept of a client is one time: when its allowance will be whole again. A request moves it
by the time that one request may take; it is refused if that lay further ahead than a burst may go.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_MOST_CLIENTS = 100_000  # about 15 MB; beyond it the longest unseen is forgotten


@dataclass(frozen=True, slots=True)
class RateDecision:
    """What became of a request: `wait_s` is 0 if it may go on; `whole_s` is until all is back."""

    wait_s: float
    left: int
    whole_s: float


class RateLimit:
    """At most `per_s` requests a second of each client, and `burst` at once."""

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst = burst
        self.burst_s = burst / per_s
        self._each_s = 1 / per_s
        self._clock = clock
        self._whole_at_s: dict[str, float] = {}  # the longest unseen first

    def take(self, client: str) -> RateDecision:
        """Count a request of this client, unless it has to wait."""
        now_s = self._clock()
        whole_at_s = max(self._whole_at_s.pop(client, now_s), now_s)
        wait_s = whole_at_s + self._each_s - now_s - self.burst_s
        if wait_s <= 1e-9:  # below a nanosecond it is the rounding
            wait_s = 0.0
            whole_at_s += self._each_s
        self._whole_at_s[client] = whole_at_s
        self._forget_whole(now_s)
        whole_s = whole_at_s - now_s
        left = max(0, math.floor((self.burst_s - whole_s) / self._each_s + 1e-6))
        return RateDecision(wait_s, left, whole_s)

    def charge(self, client: str, requests: int) -> None:
        """Count more requests of a client that has just taken one; its next ones wait for them."""
        if client in self._whole_at_s:
            self._whole_at_s[client] += requests * self._each_s

    def _forget_whole(self, now_s: float) -> None:
        """Two looked at for one added: the table never grows but with clients in debt."""
        for _ in range(2):
            oldest = next(iter(self._whole_at_s))
            if self._whole_at_s[oldest] > now_s and len(self._whole_at_s) <= _MOST_CLIENTS:
                return
            del self._whole_at_s[oldest]
            if not self._whole_at_s:
                return
