"""A circuit breaker: what fails again and again is left alone, until a probe of ours succeeds.

While it is open nobody waits for the part that is down: a timeout of each request would make a
small outage a large one. Half open, it lets one single probe through, and that is our own, not a
user's (Nygard, "Release It!", 2007, stability pattern "Circuit Breaker").
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from enum import IntEnum

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from stack.shortener.infra.log import log


class BreakerState(IntEnum):
    """How far a breaker lets anybody through; the numbers are those of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Opens after so many failures in a row, then probes every `pause_s` or so until all is well.

    Where few ask, or wait for each other, it would take long to get so many: it opens as well once
    there has been nothing but failures, two at least, for `pause_s`. The probe raises if the part
    is still down, in whatever way.
    """

    def __init__(
        self, of: str, failures: int, pause_s: float, probe: Callable[[], Awaitable[object]]
    ) -> None:
        self.of = of
        self.state = BreakerState.CLOSED
        self._most = failures
        self._pause_s = pause_s
        self._probe = probe
        self._failures = 0
        self._since_s = 0.0
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the part may be used."""
        return self.state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """Note a use that went well."""
        self._failures = 0

    def failed(self, why: str) -> None:
        """Note a use that failed, which may be one too many."""
        if not self._failures:
            self._since_s = time.monotonic()
        self._failures += 1
        lasting = self._failures > 1 and time.monotonic() - self._since_s >= self._pause_s
        if (self._failures >= self._most or lasting) and self.state is BreakerState.CLOSED:
            self._turn(BreakerState.OPEN, why)
            probing = self._probe_until_well()  # which is no part of this request
            self._probing = asyncio.get_running_loop().create_task(probing, context=Context())

    async def _probe_until_well(self) -> None:
        while self.state is not BreakerState.CLOSED:
            await asyncio.sleep(self._pause_s * random.uniform(0.8, 1.2))  # processes differ
            self.state = BreakerState.HALF_OPEN
            try:
                await self._probe()
            except Exception:
                self.state = BreakerState.OPEN
            else:
                self._failures = 0
                self._turn(BreakerState.CLOSED, "a probe succeeded")

    def _turn(self, state: BreakerState, why: str) -> None:
        self.state = state
        log(
            "breaker",
            level="warning" if state is BreakerState.OPEN else "info",
            of=self.of,
            state=state.name.lower(),
            why=why,
        )

    async def close(self) -> None:
        """Probe no more."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)


def states(*breakers: Breaker) -> Metric:
    """The states as a Prometheus family."""
    family = GaugeMetricFamily(
        "shortener_breaker_state",
        "State of a circuit breaker: 0 closed, 1 half open, 2 open",
        labels=["of"],
    )
    for breaker in breakers:
        family.add_metric([breaker.of], breaker.state)
    return family
