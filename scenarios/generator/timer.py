"""A timer that is precise to a few hundredths of a millisecond.

The event loop under gevent rounds its timers up to whole milliseconds, so every request would leave
half a millisecond late. Linux's timerfd does not round; other systems use gevent's timer.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time

import gevent  # type: ignore[import-untyped]
from gevent.event import Event  # type: ignore[import-untyped]

_READABLE = 1
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_LEAST_S = 1e-6  # 0 would not yield to the event loop


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec` of <time.h>; without an interval it expires once."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class PreciseTimer:
    """Wakes one greenlet at a time."""

    def __init__(self) -> None:
        self._fd = -1
        self._until_s = -math.inf  # while nobody sleeps
        self._hurried = Event()
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            self._hub = gevent.get_hub()
            self._watcher = self._hub.loop.io(self._fd, _READABLE)

    def sleep_until(self, at_s: float) -> None:
        """Yield to other greenlets until a moment on the monotonic clock, and at least once.

        Even if the moment is past, the event loop reads the sockets: with `gevent.sleep(0)` it
        might run a thousand callbacks first.
        """
        self._until_s = at_s
        if self._fd >= 0:
            self._set(at_s)
            self._hub.wait(self._watcher)
        else:
            self._hurried.clear()
            self._hurried.wait(max(_LEAST_S, at_s - time.monotonic()))
        self._until_s = -math.inf

    def hurry(self, at_s: float) -> None:
        """Wake the sleeper at this moment if it would sleep longer."""
        if at_s >= self._until_s:
            return
        self._until_s = at_s
        if self._fd >= 0:
            self._set(at_s)
        else:
            self._hurried.set()

    def close(self) -> None:
        """Close the file descriptor."""
        self._until_s = -math.inf
        if self._fd >= 0:
            self._watcher.close()
            os.close(self._fd)
            self._fd = -1

    def _set(self, at_s: float) -> None:
        whole_s = int(at_s)
        spec = _TimerSpec(0, 0, whole_s, int((at_s - whole_s) * 1e9))
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None)
