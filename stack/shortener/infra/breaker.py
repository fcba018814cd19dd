"""Circuit breaker: fail fast while a dependency is down.

While it is open no request waits for the dependency: a timeout of each would make a small outage a
large one. Half open, it lets one probe through, which is its own and not a user's request (Nygard,
"Release It!", 2007, stability pattern "Circuit Breaker").
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
    """State of a breaker; the numbers are those of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Opens after `failures` in a row, then probes about every `open_s` until a probe succeeds.

    With few requests that number takes long to reach, so it opens as well once all uses, two at
    least, have failed for `open_s`. With both infinite it never opens. The probe raises any
    exception while the dependency is down.
    """

    def __init__(
        self,
        dependency: str,
        failures: float,
        open_s: float,
        probe: Callable[[], Awaitable[object]],
    ) -> None:
        self.dependency = dependency
        self.state = BreakerState.CLOSED
        self._max_failures = failures
        self._open_s = open_s
        self._probe = probe
        self._failures = 0
        self._failing_since_s = 0.0
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_closed(self) -> bool:
        """True while the dependency may be used."""
        return self.state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """Record a success."""
        self._failures = 0

    def failed(self, reason: str) -> None:
        """Record a failure, and open after too many."""
        if not self._failures:
            self._failing_since_s = time.monotonic()
        self._failures += 1
        lasting = self._failures > 1 and time.monotonic() - self._failing_since_s >= self._open_s
        if (self._failures >= self._max_failures or lasting) and self.state is BreakerState.CLOSED:
            self._change_state(BreakerState.OPEN, reason)
            probing = self._probe_until_closed()  # outside the context of this request
            self._probing = asyncio.get_running_loop().create_task(probing, context=Context())

    async def _probe_until_closed(self) -> None:
        while self.state is not BreakerState.CLOSED:
            await asyncio.sleep(self._open_s * random.uniform(0.8, 1.2))  # jitter between processes
            self.state = BreakerState.HALF_OPEN
            try:
                await self._probe()
            except Exception:
                self.state = BreakerState.OPEN
            else:
                self._failures = 0
                self._change_state(BreakerState.CLOSED, "a probe succeeded")

    def _change_state(self, state: BreakerState, reason: str) -> None:
        self.state = state
        log(
            "breaker",
            level="warning" if state is BreakerState.OPEN else "info",
            dependency=self.dependency,
            state=state.name.lower(),
            reason=reason,
        )

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)


def breaker_states(*breakers: Breaker) -> Metric:
    """The states of breakers, as a Prometheus family."""
    family = GaugeMetricFamily(
        "shortener_breaker_state",
        "State of a circuit breaker: 0 closed, 1 half open, 2 open",
        labels=["dependency"],
    )
    for breaker in breakers:
        family.add_metric([breaker.dependency], breaker.state)
    return family
