"""One timer of the event loop for all waits: one each would cost several times as much CPU."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from time import monotonic
from weakref import WeakKeyDictionary

TIMER_S = 0.001  # uvloop's timers count whole milliseconds
CANCELLED_LIMIT = 100


class Timer:
    """A call at a given time, unless cancelled."""

    __slots__ = ("at_s", "call")

    def __init__(self, at_s: float, call: Callable[[], None]) -> None:
        self.at_s = at_s
        self.call: Callable[[], None] | None = call


class TimerQueue:
    """The timers of an event loop, at times of `time.monotonic()`; none goes off early."""

    def __init__(self) -> None:
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._cancelled = 0
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at_s = math.inf

    def set(self, at_s: float, call: Callable[[], None]) -> Timer:
        """Schedule a call."""
        timer = Timer(at_s, call)
        heapq.heappush(self._timers, (at_s, next(self._count), timer))
        if at_s < self._handle_at_s:
            self._wait()
        return timer

    def cancel(self, timer: Timer) -> None:
        """Cancel a call; one already made may be cancelled, too."""
        if timer.call is None:
            return
        timer.call = None
        self._cancelled += 1
        if self._cancelled > max(CANCELLED_LIMIT, len(self._timers) / 2):
            self._timers = [each for each in self._timers if each[2].call]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _wait(self) -> None:
        if self._handle:
            self._handle.cancel()
        self._handle_at_s = self._timers[0][0]
        wait_ticks = math.ceil((self._handle_at_s - monotonic()) / TIMER_S)
        wait_s = max(1, wait_ticks) * TIMER_S
        self._handle = asyncio.get_running_loop().call_later(wait_s, self._fire)

    def _fire(self) -> None:
        self._handle, self._handle_at_s = (
            None,
            -math.inf,
        )  # calls set meanwhile need no handle yet
        now_s = monotonic()
        while self._timers and self._timers[0][0] <= now_s:
            _, _, timer = heapq.heappop(self._timers)
            call, timer.call = timer.call, None
            if call:
                call()
            else:
                self._cancelled -= 1
        self._handle_at_s = math.inf
        if self._timers:
            self._wait()


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, TimerQueue] = WeakKeyDictionary()


def queue() -> TimerQueue:
    """Return the timer queue of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _queues:
        _queues[loop] = TimerQueue()
    return _queues[loop]
