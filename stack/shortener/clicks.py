"""Clicks on their way to the queue: minted here, gathered, sent as one stream entry a batch.

The id is minted before the click is sent, so that however often a batch is sent or delivered, each
click counts once. Redis-py spends about ten microseconds on an XADD: one for each click would cost
more than the redirect itself.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from itertools import count, islice
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from stack.shortener.agents import is_bot, referrer_host
from stack.shortener.log import log
from stack.shortener.metrics import Metrics
from stack.shortener.settings import WebSettings

STREAM, GROUP, FIELD = "clicks", "workers", b"clicks"
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.05, 2.0

Click = tuple[str, str, int, str, bool]  # id, code, milliseconds since the epoch, referrer, bot


class Clicks:
    """The clicks of one web process that the queue has not confirmed yet."""

    def __init__(self, client: Redis, metrics: Metrics, settings: WebSettings) -> None:
        self._client: Any = client
        self._metrics = metrics
        self._settings = settings
        self._buffer: deque[Click] = deque()
        self._prefix = secrets.token_hex(8)
        self._serial = count()
        self._sender: asyncio.Task[None] | None = None
        self._closing = False

    def add(self, code: str, referer: bytes, user_agent: bytes) -> str:
        """Note a click, and return its id; it is dropped, and counted so, if the buffer is full."""
        click_id = f"{self._prefix}{next(self._serial):016x}"
        counts = self._metrics.clicks
        counts["minted"] += 1
        if len(self._buffer) >= self._settings.click_buffer:
            counts["dropped"] += 1
            return click_id
        at_ms = time.time_ns() // 1_000_000
        self._buffer.append((click_id, code, at_ms, referrer_host(referer), is_bot(user_agent)))
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_all())
        return click_id

    async def _send_all(self) -> None:
        """Send batches until none is left; the next click starts this again."""
        try:
            while self._buffer:
                if not self._closing:
                    await asyncio.sleep(self._settings.click_flush_s)
                batch = list(islice(self._buffer, self._settings.click_batch))
                sent = await self._send(batch)
                self._metrics.clicks["queued" if sent else "dropped"] += len(batch)
                for _ in batch:
                    self._buffer.popleft()
        finally:
            self._sender = None

    async def _send(self, batch: list[Click]) -> bool:
        packed = json.dumps(batch, separators=(",", ":"))
        backoff_s = _FIRST_BACKOFF_S
        for attempt in range(1, self._settings.click_attempts + 1):
            try:
                await self._client.xadd(STREAM, {FIELD: packed})
            except (RedisError, OSError, TimeoutError) as error:
                log("clicks_not_sent", clicks=len(batch), attempt=attempt, error=repr(error))
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            else:
                return True
        return False

    async def close(self) -> None:
        """Send what is left, within the time for shutting down; what cannot be sent is dropped."""
        self._closing = True
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=self._settings.shutdown_s)
        if self._sender is not None:
            self._sender.cancel()
        if self._buffer:
            self._metrics.clicks["dropped"] += len(self._buffer)
            log("clicks_dropped", clicks=len(self._buffer))
