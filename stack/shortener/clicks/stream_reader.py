"""Read the click stream as one consumer of its group, and measure its lag.

A scrape must not wait for a queue that is down, or the worker itself would look dead. So the lag
is measured once a second, and a scrape reports the last measurement. While the queue is down, and
before the first measurement, entries and seconds are NaN and `shortener_stream_reachable` is 0, for
an alert to name the failure. The measurement needs no database, so the lag is seen to grow with the
primary down.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from stack.shortener.clicks.buffer import GROUP, STREAM

_DEAD_LETTERS = "clicks:dead"
_DEAD_LETTERS_MAX = 1_000  # about 50 MB at most
_LAG_INTERVAL_S = 1.0


class Delivery(NamedTuple):
    """An entry delivered to this consumer and not acknowledged."""

    entry_id: bytes
    fields: dict[bytes, bytes]


class Backlog(NamedTuple):
    """The number of entries that are not acknowledged, and the age of the oldest."""

    entries: int
    seconds: float


class StreamReader:
    """Takes entries for one consumer of the group; raises what redis-py raises."""

    def __init__(self, client: Redis, consumer: str, batch: int) -> None:
        self._client: Any = client
        self._consumer = consumer
        self._batch = batch
        self._claim_from = b"0-0"

    async def create_group(self) -> None:
        """Create the group, from the oldest entry on, unless it exists."""
        try:
            await self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def pending(self) -> list[Delivery]:
        """Read entries delivered to a consumer of this name and not acknowledged."""
        return await self._read("0", block_ms=None)

    async def new(self, block_s: float) -> list[Delivery]:
        """Read entries not delivered yet; wait `block_s` for some at most."""
        return await self._read(">", block_ms=max(1, round(block_s * 1000)))

    async def _read(self, after: str, block_ms: int | None) -> list[Delivery]:
        found = await self._client.xreadgroup(
            GROUP, self._consumer, {STREAM: after}, count=self._batch, block=block_ms
        )
        return [_delivery(*entry) for _, entries in found or [] for entry in entries]

    async def claim(self, idle_s: float) -> list[Delivery]:
        """Claim entries that other consumers have held for `idle_s`."""
        idle_ms = round(idle_s * 1000)
        self._claim_from, entries, *_ = await self._client.xautoclaim(
            STREAM, GROUP, self._consumer, idle_ms, self._claim_from, count=self._batch
        )
        return [_delivery(*entry) for entry in entries]

    async def acknowledge(self, deliveries: list[Delivery]) -> None:
        """Acknowledge and delete entries."""
        ids = [delivery.entry_id for delivery in deliveries]
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xack(STREAM, GROUP, *ids)
        pipeline.xdel(STREAM, *ids)
        await pipeline.execute()

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Move an entry to the stream of dead letters."""
        pipeline = self._client.pipeline(transaction=True)
        fields = {**delivery.fields, b"entry_id": delivery.entry_id, b"reason": reason[:500]}
        pipeline.xadd(_DEAD_LETTERS, fields, maxlen=_DEAD_LETTERS_MAX, approximate=True)
        pipeline.xack(STREAM, GROUP, delivery.entry_id)
        pipeline.xdel(STREAM, delivery.entry_id)
        await pipeline.execute()

    async def backlog(self) -> Backlog:
        """Measure the backlog: the stream holds no acknowledged entries, and ids are times."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xlen(STREAM)
        pipeline.xrange(STREAM, count=1)
        entries, oldest = await pipeline.execute()
        if not oldest:
            return Backlog(entries, 0.0)
        entry_id, _ = oldest[0]
        added_s = int(entry_id.partition(b"-")[0]) / 1000
        return Backlog(entries, max(0.0, time.time() - added_s))


def _delivery(entry_id: bytes, fields: dict[bytes, bytes] | None) -> Delivery:
    return Delivery(entry_id, fields or {})  # no fields: deleted while it was pending


class StreamLag:
    """The last measurement of the backlog."""

    def __init__(self, stream: StreamReader, timeout_s: float) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._backlog: Backlog | None = None

    async def watch(self) -> None:
        """Measure once a second, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    self._backlog = await self._stream.backlog()
            except (RedisError, OSError, TimeoutError):
                self._backlog = None
            await asyncio.sleep(_LAG_INTERVAL_S)

    def families(self) -> Iterable[Metric]:
        """The lag, and if it is known, as Prometheus families."""
        backlog = self._backlog
        yield GaugeMetricFamily(
            "shortener_stream_reachable",
            "1 if the queue answered the last measurement of the lag, else 0",
            value=backlog is not None,
        )
        yield GaugeMetricFamily(
            "shortener_stream_lag_entries",
            "Entries of the stream that are not acknowledged; NaN while the queue is unreachable",
            value=backlog.entries if backlog else math.nan,
        )
        yield GaugeMetricFamily(
            "shortener_stream_lag_seconds",
            "Age of the oldest of them, 0 if there is none; NaN while the queue is unreachable",
            value=backlog.seconds if backlog else math.nan,
        )
