"""Faults: each one injects itself, returns its own undo, and probes whether it took effect."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import psycopg
import redis

from chaos.model import Reading, Stack, Undo

ClientLink = Literal["cache", "primary", "replica", "queue", "worker-primary"]
PROBES = 3
PROBE_TIMEOUT_S = 10


@dataclass(frozen=True)
class Slow:
    """Every answer on a link comes `latency_ms` later: a slow database, a far cache."""

    link: ClientLink
    latency_ms: float

    needs = "toxic"

    @property
    def name(self) -> str:
        """`replica link +120 ms`."""
        return f"{self.link} link +{self.latency_ms:g} ms"

    def inject(self, stack: Stack) -> Undo:
        """Put a latency toxic on the answers of the link."""
        return stack.toxic(self.link, "latency", "downstream", latency=self.latency_ms)

    def probe(self, stack: Stack) -> Reading:
        """Median of three round trips through the link itself."""
        what, round_trip_ms = _round_trips(stack.endpoints.links[self.link])
        return Reading(what, round(round_trip_ms, 2), "ms")

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """The round trip grew by at least nine tenths of what was injected."""
        return during.value - before.value >= 0.9 * self.latency_ms

    def healed(self, before: Reading, after: Reading) -> bool:
        """The round trip is back: no more than a tenth of the latency is left of it."""
        return after.value - before.value <= 0.1 * self.latency_ms


def _round_trips(url: str) -> tuple[str, float]:
    """What was asked, and the median time of an answer in milliseconds."""
    if url.startswith("redis"):
        with redis.Redis.from_url(url, socket_timeout=PROBE_TIMEOUT_S) as client:
            return "PING", _median_ms(client.ping)
    with psycopg.connect(url, autocommit=True, connect_timeout=PROBE_TIMEOUT_S) as database:
        return "SELECT 1", _median_ms(lambda: database.execute("SELECT 1"))


def _median_ms(ask: Callable[[], object]) -> float:
    times = []
    for _ in range(PROBES):
        asked = time.monotonic()
        ask()
        times.append((time.monotonic() - asked) * 1000)
    return statistics.median(times)
