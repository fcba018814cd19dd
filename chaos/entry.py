"""The way in: an interruption is understood from the first moment, before anything is imported."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
STDERR = 2


def main() -> None:
    """Entry point of `linkstorm`."""
    end_at_once()
    try:
        from chaos.cli import app

        app()
    finally:
        keep_the_verdict()


def endings() -> list[int]:
    """Signals that end us: Ctrl-C, SIGTERM, and the end of the terminal unless `nohup` is used."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignored else [signal.SIGHUP])]


def end_at_once(words: str = "") -> None:
    """Let a signal end this process at once, with these words, where it has nothing to heal.

    Signals may be ignored at the start: a shell's background job ignores Ctrl-C. Nothing is raised,
    since that would have to pass through whatever is at work: DuckDB makes an error of an
    interruption, or loses it.
    """

    def end(_signal: int, _frame: FrameType | None) -> NoReturn:
        with suppress(OSError):
            os.write(STDERR, f"{words}\n".encode() if words else b"")
        os._exit(INTERRUPTED)

    for number in endings():
        signal.signal(number, end)


def keep_the_verdict() -> None:
    """Let no signal change how this process ends: all is said, and only Python itself remains.

    It forgets its handlers while it winds up, and would die of the signal.
    """
    for number in endings():
        signal.signal(number, signal.SIG_IGN)
