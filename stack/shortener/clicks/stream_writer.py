"""Clicks written to the stream, which may take only so much of Redis' memory.

Clicks are never evicted and never trimmed. With the workers down for long they would first push the
cache out of Redis, then fill it; so above its share no more are written, which the web process
counts as dropped, and what was written stays. The size is asked once a second by whoever writes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from stack.shortener.clicks.buffer import FIELD, STREAM, Click, NotWritten, pack
from stack.shortener.infra.log import log

_MEASURE_EVERY_S = 1.0


class StreamWriter:
    """Writes batches of clicks as entries of the stream."""

    def __init__(self, client: Redis, most_mb: int) -> None:
        self._client: Any = client
        self._most_bytes = most_mb * 1_000_000
        self._measure_at_s = 0.0
        self._bytes = 0

    async def write(self, clicks: Sequence[Click]) -> None:
        """Add an entry; raises `NotWritten` if Redis does not answer, or the stream is full."""
        try:
            if await self._size_bytes() >= self._most_bytes:
                raise NotWritten(f"the stream has all the memory that it may take: {self._bytes}")
            await self._client.xadd(STREAM, {FIELD: pack(clicks)})
        except (RedisError, OSError, TimeoutError) as error:
            raise NotWritten(repr(error)) from error

    async def _size_bytes(self) -> int:
        now_s = time.monotonic()
        if now_s >= self._measure_at_s:
            try:
                self._bytes = await self._client.memory_usage(STREAM) or 0
            except ResponseError as error:  # some hosts forbid it, and watch memory themselves
                log("stream_not_measured", level="warning", error=str(error))
                now_s = float("inf")
            self._measure_at_s = now_s + _MEASURE_EVERY_S
        return self._bytes
