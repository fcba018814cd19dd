"""Sleeping until a moment, to a few hundredths of a millisecond.

The event loop under gevent rounds its timers up to whole milliseconds, so every request would leave
half a millisecond late. Linux's timerfd does not round; elsewhere gevent's timer has to do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

import gevent  # type: ignore[import-untyped]

_READABLE = 1
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_LEAST_S = 1e-6  # 0 would not wait for the event loop


class _Moment(ctypes.Structure):
    """`struct itimerspec` of <time.h>; without an interval it goes off once."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class PreciseTimer:
    """One at a time may sleep by it."""

    def __init__(self) -> None:
        self._number = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._number = self._libc.timerfd_create(
                time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC
            )
        if self._number >= 0:
            self._hub = gevent.get_hub()
            self._watcher = self._hub.loop.io(self._number, _READABLE)

    def sleep_until(self, at_s: float) -> None:
        """Let the other greenlets run until a moment on the monotonic clock, or at least once.

        Even if the moment is past, the event loop reads what has come: after `gevent.sleep(0)` it
        might first run a thousand callbacks.
        """
        if self._number < 0:
            gevent.sleep(max(_LEAST_S, at_s - time.monotonic()))
            return
        whole_s = int(at_s)
        moment = _Moment(0, 0, whole_s, int((at_s - whole_s) * 1e9))
        self._libc.timerfd_settime(self._number, _ABSOLUTE, ctypes.byref(moment), None)
        self._hub.wait(self._watcher)

    def close(self) -> None:
        """Give the file descriptor back."""
        if self._number >= 0:
            self._watcher.close()
            os.close(self._number)
            self._number = -1
