"""Buffer of clicks in a web process: mint them, batch them, write each batch at once.

The id and the time of a click are fixed before it is written, so that it counts once however often
it is written or delivered. A write costs far more than a redirect, so a batch is one stream entry
or one statement.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from contextvars import Context
from itertools import count, islice
from typing import Protocol

from stack.shortener.clicks.user_agents import referrer_host
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.spans import span
from stack.shortener.settings import WebSettings

STREAM, GROUP, FIELD = "clicks", "workers", b"clicks"
_MIN_BACKOFF_S, _MAX_BACKOFF_S = 0.05, 2.0
_WAITING_BACKOFF_S = 0.01  # while a redirect waits

# id, code, milliseconds since the epoch, referrer, bot, observation of the visitor
BufferedClick = tuple[str, str, int, str, bool, int]


class NotWritten(Exception):
    """Clicks were perhaps not written; writing them again is safe."""


class ClickSink(Protocol):
    """Destination of clicks: the stream or the outbox."""

    async def write(self, clicks: Sequence[BufferedClick]) -> None:
        """Write all clicks; raises `NotWritten`."""


def pack(clicks: Sequence[BufferedClick]) -> str:
    """Serialize clicks for a stream entry."""
    return json.dumps(clicks, separators=(",", ":"))


class ClickBuffer:
    """The clicks of one web process that are not written yet.

    With `waits` a redirect is answered once its click was written (`accept`), else at once (`add`).
    """

    def __init__(self, sink: ClickSink, metrics: Metrics, settings: WebSettings) -> None:
        self.waits = settings.click_mode != "buffered"
        self._sink = sink
        self._metrics = metrics
        self._settings = settings
        self._buffer: deque[BufferedClick] = deque()
        self._waiting: deque[tuple[BufferedClick, asyncio.Future[bool]]] = deque()
        self._prefix = secrets.token_hex(8)
        self._serial = count()
        self._writer: asyncio.Task[None] | None = None
        self._closing = False

    def add(self, code: str, referer: bytes, bot: bool, visitor: int = 0) -> str:
        """Buffer a click and return its id; drop it if the buffer is full."""
        click = self._mint(code, referer, bot, visitor)
        if len(self._buffer) >= self._settings.click_buffer:
            self._metrics.clicks["dropped"] += 1
            return click[0]
        self._buffer.append(click)
        if self._writer is None:
            self._begin(self._write_buffered())
        return click[0]

    async def accept(self, code: str, referer: bytes, bot: bool, visitor: int = 0) -> str | None:
        """Write a click and return its id; `None` if it could not be written in time.

        A click that took too long may still be counted.
        """
        click = self._mint(code, referer, bot, visitor)
        if len(self._waiting) < self._settings.click_buffer:
            loop = asyncio.get_running_loop()
            written: asyncio.Future[bool] = loop.create_future()
            self._waiting.append((click, written))
            if self._writer is None:
                self._begin(self._write_waiting())
            try:
                async with asyncio.timeout(self._settings.click_wait_s):
                    with span("click wait"):
                        accepted = await written
            except TimeoutError:
                accepted = False
            if accepted:
                self._metrics.clicks["queued"] += 1
                return click[0]
        self._metrics.clicks["dropped"] += 1
        return None

    def _begin(self, writing: Coroutine[None, None, None]) -> None:
        """Write in an empty context: a batch belongs to many requests."""
        self._writer = asyncio.get_running_loop().create_task(writing, context=Context())

    def _mint(self, code: str, referer: bytes, bot: bool, visitor: int) -> BufferedClick:
        self._metrics.clicks["minted"] += 1
        click_id = f"{self._prefix}{next(self._serial):016x}"
        at_ms = time.time_ns() // 1_000_000
        return click_id, code, at_ms, referrer_host(referer), bot, visitor

    async def _write_buffered(self) -> None:
        """Write batches until the buffer is empty; the next click starts this again."""
        try:
            while self._buffer:
                if not self._closing:
                    await asyncio.sleep(self._settings.click_flush_s)
                batch = list(islice(self._buffer, self._settings.click_batch))
                written = await self._write_with_retries(batch)
                self._metrics.clicks["queued" if written else "dropped"] += len(batch)
                for _ in batch:
                    self._buffer.popleft()
        finally:
            self._writer = None

    async def _write_with_retries(self, batch: list[BufferedClick]) -> bool:
        backoff_s = _MIN_BACKOFF_S
        for attempt in range(1, self._settings.click_attempts + 1):
            try:
                with span("click send", clicks=len(batch)):
                    await self._sink.write(batch)
            except NotWritten as error:
                _log_failure(batch, attempt, error)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)
            else:
                return True
        return False

    async def _write_waiting(self) -> None:
        """Write the clicks that came during the last write, until there are none.

        One batch at a time: under load batches grow and the number of writes does not.
        """
        try:
            while self._waiting:
                size = min(len(self._waiting), self._settings.click_batch)
                batch = [self._waiting.popleft() for _ in range(size)]
                written = await self._write_while_waited_for(batch)
                for _, waiter in batch:
                    if not waiter.done():
                        waiter.set_result(written)
        finally:
            self._writer = None

    async def _write_while_waited_for(
        self, batch: list[tuple[BufferedClick, asyncio.Future[bool]]]
    ) -> bool:
        attempt = 0
        while clicks := [click for click, waiter in batch if not waiter.done()]:
            attempt += 1
            try:
                with span("click send", clicks=len(clicks)):
                    await self._sink.write(clicks)
            except NotWritten as error:
                _log_failure(clicks, attempt, error)
                await asyncio.sleep(_WAITING_BACKOFF_S * 2**attempt)
            else:
                return True
        return False

    async def close(self) -> None:
        """Write the buffered clicks within `shutdown_timeout_s`; drop the rest."""
        self._closing = True
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=self._settings.shutdown_timeout_s)
        if self._writer is not None:
            self._writer.cancel()
        if self._buffer:
            self._metrics.clicks["dropped"] += len(self._buffer)
            log("clicks_dropped", level="warning", clicks=len(self._buffer))


def _log_failure(clicks: Sequence[BufferedClick], attempt: int, error: NotWritten) -> None:
    log("clicks_not_sent", level="warning", clicks=len(clicks), attempt=attempt, error=str(error))
