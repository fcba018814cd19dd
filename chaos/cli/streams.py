"""Standard streams that cannot end the lab: lost output is noted, and the work goes on.

A reader may go away, a disk may be full, a stream may be closed from the start, or its encoding
may lack a character. Python makes an error of each, wherever the lab happens to be; it would leave
a healing half done, and end with 1, which means FAIL.
"""

from __future__ import annotations

import os
import select
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any


class Outlet(FileIO):
    """A file that never fails: once it cannot be written, all output is dropped."""

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write it, or drop it."""
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])  # another process made it non-blocking
        except OSError as error:
            self.lost = self.lost or error
            return memoryview(data).nbytes
        return int(written)


def guard() -> None:
    """Guard stdout and stderr of this process."""
    _open_what_is_closed()
    sys.stdout = _guarded(1, sys.stdout.encoding)
    sys.stderr = _guarded(2, sys.stderr.encoding)


def stdout_lost() -> OSError | None:
    """The error that lost output on a guarded stdout, if any."""
    raw = getattr(sys.stdout.buffer, "raw", None)
    return raw.lost if isinstance(raw, Outlet) else None


def _open_what_is_closed() -> None:
    """Otherwise the next file that is opened would be in its place, for all that we start, too."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, number)
            if nothing != number:
                os.close(nothing)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def _guarded(number: int, encoding: str) -> TextIOWrapper:
    buffer = BufferedWriter(Outlet(number, "w", closefd=False))
    return TextIOWrapper(buffer, encoding, errors="backslashreplace", line_buffering=True)
