"""Calls for the same key made at the same time share one flight.

Source: the duplicate call suppression of groupcache (Go package singleflight, 2013), with one
addition: a caller who looked before the last flight landed shares that flight even if the news that
he missed reaches him after it, for otherwise he would start another. Who looked after the flight's
answer had been proven, though, may have missed since a change came meanwhile: he looks again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.fills.base import FillResult

_REMEMBER_S = 2.0


class Flights:
    """The flights of one process; `look` is how who has to look again does so."""

    def __init__(self, look: Callable[[str], Awaitable[CacheRead]]) -> None:
        self._look = look
        self._flying: dict[str, asyncio.Task[FillResult]] = {}
        self._landed: dict[str, tuple[float, FillResult]] = {}

    async def share(
        self, code: str, looked_s: float, flight: Callable[[], Awaitable[FillResult]]
    ) -> FillResult:
        """The answer of the flight for this code: the one under way, or else a new one."""
        while True:
            landed_s, answer = self._landed.get(code, (0.0, None))
            if answer is None or looked_s >= landed_s:
                task = self._flying.get(code)
                if task is None:
                    task = self._flying[code] = asyncio.ensure_future(self._fly(code, flight))
                    return await asyncio.shield(task)
                answer = await asyncio.shield(task)
            if looked_s <= answer.proven_s:
                return FillResult(answer.entry, "wait")
            read = await self._look(code)
            if read.entry is not None:
                return FillResult(read.entry, "wait")
            looked_s = read.read_s

    async def _fly(self, code: str, flight: Callable[[], Awaitable[FillResult]]) -> FillResult:
        try:
            answer = await flight()
            landed = self._landed[code] = (time.monotonic(), answer)
            asyncio.get_running_loop().call_later(_REMEMBER_S, self._forget, code, landed)
            return answer
        finally:
            del self._flying[code]

    def _forget(self, code: str, landed: tuple[float, FillResult]) -> None:
        if self._landed.get(code) is landed:
            del self._landed[code]
