"""Writes to the primary, and what follows one whose outcome is unknown.

A connection that broke, or a time that was up, says nothing of the statement that was sent: it may
commit even later. So its key is read back before anything is tried again, and only under that key.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.retry_budget import RetryBudget
from stack.shortener.infra.servers import Server
from stack.shortener.settings import WebSettings

_PAUSE_S = 0.02, 0.1  # it varies, as all connections may have broken at once
_ANSWER_S = 0.2  # left of the request's time for the answer

T = TypeVar("T")
Send = Callable[[Any], Awaitable[T]]
ReadBack = Callable[[Any], Awaitable[T | None]]


class OutcomeUnknown(DatabaseUnavailable):
    """The write may be done, or be done later."""


class Conflict(Exception):
    """The write did nothing, since its key is there."""


@dataclass(frozen=True)
class Written(Generic[T]):
    """A result of a write, and the server that took it."""

    value: T
    server: Server


class Writer(Protocol):
    """A way to send writes: once, or again if the outcome is unknown."""

    async def write(self, send: Send[T], read_back: ReadBack[T] | None = None, /) -> Written[T]:
        """Write by `send`, and by `read_back` find out what an unknown outcome was.

        `read_back` returns `None` if nothing of ours is there; it is `None` for a write without a
        key. Raises `Conflict` if `send` does, `OutcomeUnknown`, or `DatabaseUnavailable` if nothing
        can have been written.
        """


@dataclass(frozen=True)
class SingleAttempt(Writer):
    """Sends a write once, naively: what became of it is for the client to find out."""

    primary: Database

    async def write(self, send: Send[T], _: ReadBack[T] | None = None, /) -> Written[T]:
        """Send it."""
        try:
            return await _on(self.primary, send)
        except DatabaseUnavailable as error:
            raise _unknown(error) if error.may_be_done else error from error


@dataclass(frozen=True)
class RetriesByKey(Writer):
    """Reads an unknown outcome back until it is known, the time is up, or the budget is spent."""

    primary: Database
    metrics: Metrics
    budget: RetryBudget
    within_s: float

    async def write(self, send: Send[T], read_back: ReadBack[T] | None = None, /) -> Written[T]:
        """Send it, and find out what became of it."""
        deadline_s = asyncio.get_running_loop().time() + self.within_s
        try:
            written = await _on(self.primary, send)
        except DatabaseUnavailable as error:
            if not error.may_be_done:
                raise
            if read_back is None or not self._may_retry():
                raise _unknown(error) from error
            return await self._settled(send, read_back, error, deadline_s)
        self.budget.earn()
        return written

    def _may_retry(self) -> bool:
        may = self.budget.spend()
        if not may:
            self.metrics.write_retries["refused"] += 1
        return may

    async def _settled(
        self,
        send: Send[T],
        read_back: ReadBack[T],
        error: DatabaseUnavailable,
        deadline_s: float,
    ) -> Written[T]:
        async def settle(connection: Any) -> T:
            return await self._found_or_sent(connection, send, read_back)

        try:
            async with asyncio.timeout_at(deadline_s):
                while True:
                    await asyncio.sleep(random.uniform(*_PAUSE_S))
                    try:
                        return await _on(self.primary, settle)
                    except OutcomeUnknown:
                        raise
                    except DatabaseUnavailable as latest:
                        error = latest
        except TimeoutError:
            raise _unknown(error) from error

    async def _found_or_sent(self, connection: Any, send: Send[T], read_back: ReadBack[T]) -> T:
        """Return what the write made if it is there; else send it again."""
        found = await self._found(connection, read_back)
        if found is not None:
            return found
        self.metrics.write_retries["sent_again"] += 1
        try:
            return await send(connection)
        except Conflict:
            found = await self._found(connection, read_back)
            if found is None:
                raise
            return found

    async def _found(self, connection: Any, read_back: ReadBack[T]) -> T | None:
        self.metrics.write_retries["read_back"] += 1
        return await read_back(connection)


def writer(primary: Database, metrics: Metrics, settings: WebSettings) -> Writer:
    """The way that `WRITE_RETRY` names."""
    if settings.write_retry == "none":
        return SingleAttempt(primary)
    budget = RetryBudget(settings.retry_budget)
    within_s = max(0.0, settings.request_deadline_s - _ANSWER_S)
    return RetriesByKey(primary, metrics, budget, within_s)


async def _on(primary: Database, send: Send[T]) -> Written[T]:
    async with primary.connection() as connection:
        server = connection.server  # before it is used: a renewal may take the connection away
        return Written(await send(connection), server)


def _unknown(error: DatabaseUnavailable) -> OutcomeUnknown:
    return OutcomeUnknown(str(error), may_be_done=True)
