"""Ends of the process: exit codes, and signals that end it at once or interrupt its work.

Light, as it is imported before all else: an interruption is handled from the first moment on.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from signal import SIGINT, pthread_kill
from threading import Timer, main_thread
from types import FrameType
from typing import NoReturn

FAILED, USAGE, TROUBLE, INTERRUPTED = 1, 2, 3, 130
EXIT_OF = {"PASS": 0, "FAIL": FAILED, "INVALID": TROUBLE}
STDERR = 2
AGAIN_S = 0.01


class Judged(SystemExit):
    """The exit of a command that judged a run: the only one that may be 1, which means FAIL."""


def endings() -> list[int]:
    """Signals that end the lab: SIGINT, SIGTERM, and SIGHUP unless `nohup` ignores it."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignored else [signal.SIGHUP])]


def end_at_once(message: str = "") -> None:
    """Have a signal end this process at once, with this message: there is nothing to heal.

    Signals may be ignored at the start: a shell's background job ignores SIGINT. Nothing is raised,
    since an exception would have to pass through libraries: DuckDB turns an interruption into an
    error, or drops it.
    """

    def end(_signal: int, _frame: FrameType | None) -> NoReturn:
        with suppress(OSError):
            os.write(STDERR, f"{message}\n".encode() if message else b"")
        os._exit(INTERRUPTED)

    for number in endings():
        signal.signal(number, end)


def ignore_signals() -> None:
    """Ignore signals while the interpreter shuts down: its handlers are gone by then.

    The output is complete, and the exit code must stay that of the verdict.
    """
    for number in endings():
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on these signals: there is something to heal or to stop."""
    before = {number: signal.signal(number, _interrupt) for number in endings()}
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """Repeat a KeyboardInterrupt that was raised in a finaliser, where Python drops it."""
    if lost.exc_type is KeyboardInterrupt:
        Timer(AGAIN_S, pthread_kill, (main_thread().ident, SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)
