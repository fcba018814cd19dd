"""Clicks on their way to be counted: minted here, gathered, written together.

The id and the time of a click are fixed before it is written, so that however often it is written
or delivered, it counts once. A write costs far more than a redirect: what comes together goes
together, as one stream entry or one statement.
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
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.05, 2.0
_WAITED_BACKOFF_S = 0.01  # where somebody waits for it

# id, code, milliseconds since the epoch, referrer, bot, observation of the visitor
Click = tuple[str, str, int, str, bool, int]


class NotWritten(Exception):
    """Clicks were not written, as far as anybody knows; to write them again does no harm."""


class ClickSink(Protocol):
    """Where clicks are written: the stream, or the outbox."""

    async def write(self, clicks: Sequence[Click]) -> None:
        """Write all of them; raises `NotWritten`."""


def pack(clicks: Sequence[Click]) -> str:
    """Clicks as a stream entry holds them."""
    return json.dumps(clicks, separators=(",", ":"))


class ClickBuffer:
    """The clicks of one web process that are not written yet.

    With `waits` a redirect is answered once its click is written (`accept`), else at once (`add`).
    """

    def __init__(self, sink: ClickSink, metrics: Metrics, settings: WebSettings) -> None:
        self.waits = settings.click_mode != "buffered"
        self._sink = sink
        self._metrics = metrics
        self._settings = settings
        self._buffer: deque[Click] = deque()
        self._waiting: deque[tuple[Click, asyncio.Future[bool]]] = deque()
        self._prefix = secrets.token_hex(8)
        self._serial = count()
        self._writer: asyncio.Task[None] | None = None
        self._closing = False

    def add(self, code: str, referer: bytes, bot: bool, visitor: int = 0) -> str:
        """Note a click, and return its id; it is dropped, and counted so, if the buffer is full."""
        click = self._mint(code, referer, bot, visitor)
        if len(self._buffer) >= self._settings.click_buffer:
            self._metrics.clicks["dropped"] += 1
            return click[0]
        self._buffer.append(click)
        if self._writer is None:
            self._begin(self._write_buffered())
        return click[0]

    async def accept(self, code: str, referer: bytes, bot: bool, visitor: int = 0) -> str | None:
        """Write a click, and return its id; `None` if it could not be written in time.

        Whether a click that took too long is counted in the end, nobody knows.
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
        """Write in a context that is nobody's: the clicks are those of many requests."""
        self._writer = asyncio.get_running_loop().create_task(writing, context=Context())

    def _mint(self, code: str, referer: bytes, bot: bool, visitor: int) -> Click:
        self._metrics.clicks["minted"] += 1
        click_id = f"{self._prefix}{next(self._serial):016x}"
        at_ms = time.time_ns() // 1_000_000
        return click_id, code, at_ms, referrer_host(referer), bot, visitor

    async def _write_buffered(self) -> None:
        """Write batches until none is left; the next click starts this again."""
        try:
            while self._buffer:
                if not self._closing:
                    await asyncio.sleep(self._settings.click_flush_s)
                batch = list(islice(self._buffer, self._settings.click_batch))
                written = await self._write_patiently(batch)
                self._metrics.clicks["queued" if written else "dropped"] += len(batch)
                for _ in batch:
                    self._buffer.popleft()
        finally:
            self._writer = None

    async def _write_patiently(self, batch: list[Click]) -> bool:
        backoff_s = _FIRST_BACKOFF_S
        for attempt in range(1, self._settings.click_attempts + 1):
            try:
                with span("click send", clicks=len(batch)):
                    await self._sink.write(batch)
            except NotWritten as error:
                _complain(batch, attempt, error)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            else:
                return True
        return False

    async def _write_waiting(self) -> None:
        """Write what has gathered while the last batch was being written, until there is nothing.

        One batch at a time: under load they grow by themselves, and the writes do not.
        """
        try:
            while self._waiting:
                size = min(len(self._waiting), self._settings.click_batch)
                batch = [self._waiting.popleft() for _ in range(size)]
                written = await self._write_while_awaited(batch)
                for _, waiter in batch:
                    if not waiter.done():
                        waiter.set_result(written)
        finally:
            self._writer = None

    async def _write_while_awaited(self, batch: list[tuple[Click, asyncio.Future[bool]]]) -> bool:
        attempt = 0
        while clicks := [click for click, waiter in batch if not waiter.done()]:
            attempt += 1
            try:
                with span("click send", clicks=len(clicks)):
                    await self._sink.write(clicks)
            except NotWritten as error:
                _complain(clicks, attempt, error)
                await asyncio.sleep(_WAITED_BACKOFF_S * 2**attempt)
            else:
                return True
        return False

    async def close(self) -> None:
        """Write what is left, within the time for shutting down; what cannot be is dropped."""
        self._closing = True
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=self._settings.shutdown_timeout_s)
        if self._writer is not None:
            self._writer.cancel()
        if self._buffer:
            self._metrics.clicks["dropped"] += len(self._buffer)
            log("clicks_dropped", level="warning", clicks=len(self._buffer))


def _complain(clicks: Sequence[Click], attempt: int, error: NotWritten) -> None:
    log(
        "clicks_not_sent",
        level="warning",
        clicks=len(clicks),
        attempt=attempt,
        error=str(error),
    )
