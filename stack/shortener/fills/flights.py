"""Calls for the same key made at the same time share one flight.

Source: the duplicate call suppression of groupcache (Go package singleflight, 2013), with one
addition: a caller who looked before the last flight landed shares that flight even if the news that
he missed reaches him after it, for otherwise he would start another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from stack.shortener.fills.base import Answer

_REMEMBER_S = 2.0


class Flights:
    """The flights of one process."""

    def __init__(self) -> None:
        self._flying: dict[str, asyncio.Task[Answer]] = {}
        self._landed: dict[str, tuple[float, Answer]] = {}

    async def share(
        self, code: str, looked_s: float, flight: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer of the flight for this code: the one under way, or else a new one."""
        landed_s, answer = self._landed.get(code, (0.0, None))
        if answer is not None and looked_s < landed_s:
            return Answer(answer.entry, "wait")
        task = self._flying.get(code)
        if task is not None:
            return Answer((await asyncio.shield(task)).entry, "wait")
        task = self._flying[code] = asyncio.ensure_future(self._fly(code, flight))
        return await asyncio.shield(task)

    async def _fly(self, code: str, flight: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            answer = await flight()
            landed = self._landed[code] = (time.monotonic(), answer)
            asyncio.get_running_loop().call_later(_REMEMBER_S, self._forget, code, landed)
            return answer
        finally:
            del self._flying[code]

    def _forget(self, code: str, landed: tuple[float, Answer]) -> None:
        if self._landed.get(code) is landed:
            del self._landed[code]
