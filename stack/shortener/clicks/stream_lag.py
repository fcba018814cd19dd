"""How far the worker is behind: what is in the stream, asked once a second.

A scrape must not wait for a queue that does not answer, or the worker itself would look dead; so a
scrape is told the last answer, which is never older than the pause plus the longest wait. When the
queue does not answer, what it said before is forgotten: entries and seconds are NaN, as nobody
knows them, and `shortener_stream_reachable` is 0, for an alert to name the failure. It is so until
the first answer, too. A worker that is dead or hangs is seen by its scrapes failing.

The question needs neither the database nor the work: with the primary down the lag is seen to grow.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from redis.exceptions import RedisError

from stack.shortener.clicks.stream_reader import Backlog, StreamReader

_PAUSE_S = 1.0


class StreamLag:
    """The backlog of the stream as it was told last."""

    def __init__(self, stream: StreamReader, timeout_s: float) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._backlog: Backlog | None = None

    async def watch(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    self._backlog = await self._stream.backlog()
            except (RedisError, OSError, TimeoutError):
                self._backlog = None
            await asyncio.sleep(_PAUSE_S)

    def families(self) -> Iterable[Metric]:
        """The lag, and whether it is known."""
        backlog = self._backlog
        yield GaugeMetricFamily(
            "shortener_stream_reachable",
            "Whether the queue answered when it was last asked for the lag",
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
