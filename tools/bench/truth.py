"""Correct latencies of a server with known service times, worked out on paper.

A case gives the service time of the u-th part of all requests, u from 0 to 1, so it is also the
quantile function of the latency as long as nothing freezes. A freeze of S seconds in every D delays
requests that come during it until its end: their latencies are spread evenly from s to S + s, where
s is the service time, and the share of all requests slower than t is (S + s - t) / D.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

QUANTILES = (0.5, 0.99, 0.999)


@dataclass(frozen=True)
class ServerModel:
    """A server's behaviour; service times ascend with u."""

    what: str
    service_s: Callable[[float], float]
    duration_s: float
    rounds: int = 1
    freeze_s: float = 0.0
    every_s: float = 1.0

    def quantile_s(self, share: float) -> float:
        """Return the latency that this share of the requests does not exceed."""
        calm = 1 - self.freeze_s / self.every_s
        if share <= calm:
            return self.service_s(share / calm)
        return self.service_s(1.0) + self.freeze_s - (1 - share) * self.every_s

    def slower_share(self, t_s: float) -> float:
        """Return the share of requests that take longer than t, which is within the freeze."""
        return (self.freeze_s + self.service_s(1.0) - t_s) / self.every_s


def _spread(u: float) -> float:
    return 0.05 + 0.1 * u


def _two_modes(u: float) -> float:
    return 0.04 if u < 0.97 else 0.4


CASES = {
    "steady": ServerModel("50 to 150 ms, evenly spread", _spread, 20.0, 3),
    "bimodal": ServerModel("97 % 40 ms, 3 % 400 ms", _two_modes, 20.0, 3),
    "freeze": ServerModel(
        "20 ms, and frozen for 2 s in every 20", lambda _: 0.02, 80.0, 1, 2.0, 20.0
    ),
}
