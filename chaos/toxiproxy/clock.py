"""One timer for all that waits in an event loop: one for each would cost several times as much."""

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


class Alarm:
    """A call that is to be made at a time, unless it is cancelled."""

    __slots__ = ("at_s", "call")

    def __init__(self, at_s: float, call: Callable[[], None]) -> None:
        self.at_s = at_s
        self.call: Callable[[], None] | None = call


class Clock:
    """The alarms of an event loop, at times of `time.monotonic()`; none goes off early."""

    def __init__(self) -> None:
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._count = itertools.count()
        self._cancelled = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf

    def set(self, at_s: float, call: Callable[[], None]) -> Alarm:
        """Make a call at that time."""
        alarm = Alarm(at_s, call)
        heapq.heappush(self._alarms, (at_s, next(self._count), alarm))
        if at_s < self._timer_at_s:
            self._wait()
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Make no such call; an alarm that has gone off may be cancelled, too."""
        if alarm.call is None:
            return
        alarm.call = None
        self._cancelled += 1
        if self._cancelled > max(CANCELLED_LIMIT, len(self._alarms) / 2):
            self._alarms = [each for each in self._alarms if each[2].call]
            heapq.heapify(self._alarms)
            self._cancelled = 0

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer_at_s = self._alarms[0][0]
        wait_ticks = math.ceil((self._timer_at_s - monotonic()) / TIMER_S)
        wait_s = max(1, wait_ticks) * TIMER_S
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at_s = None, -math.inf  # what is set meanwhile needs no timer yet
        now_s = monotonic()
        while self._alarms and self._alarms[0][0] <= now_s:
            _, _, alarm = heapq.heappop(self._alarms)
            call, alarm.call = alarm.call, None
            if call:
                call()
            else:
                self._cancelled -= 1
        self._timer_at_s = math.inf
        if self._alarms:
            self._wait()


_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, Clock] = WeakKeyDictionary()


def running() -> Clock:
    """The clock of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _clocks:
        _clocks[loop] = Clock()
    return _clocks[loop]
