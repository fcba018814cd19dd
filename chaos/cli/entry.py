"""The way in: an interruption is understood from the first moment, before anything is imported."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from chaos.cli.streams import guard, stdout_lost
from chaos.runtimes import environment

FAILED, USAGE, TROUBLE, INTERRUPTED = 1, 2, 3, 130
STDERR = 2


class Judged(SystemExit):
    """The end of a command that judged a run: the only one that may be 1, which means FAIL."""


def main() -> NoReturn:
    """Entry point of `linkstorm`."""
    end_at_once()
    environment.adopt()
    guard()
    try:
        code = _code()
        sys.stdout.flush()
        if (lost := stdout_lost()) and not isinstance(lost, BrokenPipeError):
            _say(f"stdout cannot be written: {lost.strerror}")
            code = TROUBLE
    finally:
        keep_the_verdict()
    raise SystemExit(code)


def _code() -> int:
    """Carry out the command; its exit code, whatever it meets."""
    if sys.flags.optimize > 1:
        _say("python -OO leaves out texts that the lab prints: start it without")
        return USAGE
    try:
        from chaos.cli.app import app

        app()
    except Judged as judged:
        return int(judged.code or 0)
    except SystemExit as ended:
        if ended.code is None or (isinstance(ended.code, int) and ended.code != FAILED):
            return ended.code or 0
        _say(f"ended early: {ended.__context__ or ended.code}")
    except OSError as error:
        _say(str(error))
    except Exception as error:
        traceback.print_exc()
        _say(f"this is an error in the lab itself, please report it: {error!r}")
    return TROUBLE


def _say(trouble: str) -> None:
    print(f"linkstorm: {trouble}", file=sys.stderr)  # noqa: T201


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
