"""Write clicks to the stream, up to a bound on its share of Redis' memory.

Clicks are never evicted or trimmed. With the workers down for long they would first push the cache
out of Redis, then fill it; so above the bound no more are written, and the web process counts them
as dropped. The size is measured once a second.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from stack.shortener.clicks.buffer import FIELD, STREAM, BufferedClick, NotWritten, pack
from stack.shortener.infra.log import log

_MEASURE_EVERY_S = 1.0


class StreamWriter:
    """Writes batches of clicks as entries of the stream."""

    def __init__(self, client: Redis, max_mb: int) -> None:
        self._client: Any = client
        self._max_bytes = max_mb * 1_000_000
        self._measure_at_s = 0.0
        self._bytes = 0

    async def write(self, clicks: Sequence[BufferedClick]) -> None:
        """Add an entry; raises `NotWritten` if Redis is unavailable or the stream is full."""
        try:
            if await self._size_bytes() >= self._max_bytes:
                raise NotWritten(f"the stream is full: {self._bytes} of {self._max_bytes} bytes")
            await self._client.xadd(STREAM, {FIELD: pack(clicks)})
        except (RedisError, OSError, TimeoutError) as error:
            raise NotWritten(repr(error)) from error

    async def _size_bytes(self) -> int:
        now_s = time.monotonic()
        if now_s >= self._measure_at_s:
            try:
                self._bytes = await self._client.memory_usage(STREAM) or 0
            except ResponseError as error:  # managed Redis may forbid it
                log("stream_not_measured", level="warning", error=str(error))
                now_s = float("inf")
            self._measure_at_s = now_s + _MEASURE_EVERY_S
        return self._bytes
