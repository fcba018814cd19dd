"""The way in: an interruption is understood from the first moment, before anything is imported."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def main() -> None:
    """Entry point of `linkstorm`."""
    end_at_once()
    try:
        from chaos.cli import app

        app()
    finally:
        keep_the_verdict()


def end_at_once() -> None:
    """Let Ctrl-C and SIGTERM end this process wherever it has nothing to heal or to stop.

    They may be ignored at the start: a shell's background job ignores Ctrl-C.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def keep_the_verdict() -> None:
    """Let no signal change how this process ends: all is said, and only Python itself remains.

    It forgets its handlers while it winds up, and would die of the signal.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)
