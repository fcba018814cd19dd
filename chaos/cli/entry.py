"""Entry point of `linkstorm`: signals, environment and streams first, then the command."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

from chaos.cli.exits import (
    FAILED,
    TROUBLE,
    USAGE,
    Judged,
    end_at_once,
    ignore_signals,
)
from chaos.cli.streams import guard, stdout_lost
from chaos.runtimes import environment


def main() -> NoReturn:
    """Run the command line; every outcome has an exit code."""
    end_at_once()
    environment.adopt()
    guard()
    try:
        code = _code()
        sys.stdout.flush()
        if (lost := stdout_lost()) and not isinstance(lost, BrokenPipeError):
            _print(f"stdout cannot be written: {lost.strerror}")
            code = TROUBLE
    finally:
        ignore_signals()
    raise SystemExit(code)


def _code() -> int:
    """Execute the command; return its exit code, whatever it raises."""
    if sys.flags.optimize > 1:
        _print("python -OO leaves out texts that the lab prints: start it without")
        return USAGE
    try:
        from chaos.cli.app import app

        app()
    except Judged as judged:
        return int(judged.code or 0)
    except SystemExit as ended:
        if ended.code is None or (isinstance(ended.code, int) and ended.code != FAILED):
            return ended.code or 0
        _print(f"ended early: {ended.__context__ or ended.code}")
    except OSError as error:
        _print(str(error))
    except Exception as error:
        traceback.print_exc()
        _print(f"this is an error in the lab itself, please report it: {error!r}")
    return TROUBLE


def _print(trouble: str) -> None:
    print(f"linkstorm: {trouble}", file=sys.stderr)  # noqa: T201
