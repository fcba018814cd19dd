"""Log JSON objects to standard output, one a line, those of libraries included."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

Level = Literal["info", "warning", "error"]

request_id: ContextVar[bytes] = ContextVar("request_id", default=b"")
_encode = json.JSONEncoder(default=str).encode
_process = {"process": "shortener"}


def configure(process: str) -> None:
    """Set the name of the process in each line, and handle the records of libraries."""
    _process["process"] = process
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)


def log(event: str, *, level: Level = "info", **fields: object) -> None:
    """Write and flush one line, with the id of its request if it has one.

    Errors are ignored: the process goes on when the reader of its log is gone.
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"time": time, "level": level, "event": event, **_process}
    if current := request_id.get():
        head["request_id"] = current.decode("ascii")
    with contextlib.suppress(OSError):
        sys.stdout.write(_encode(head | fields) + "\n")
        sys.stdout.flush()


class _LibraryHandler(logging.Handler):
    """Writes the records of libraries as lines of this log."""

    def emit(self, record: logging.LogRecord) -> None:
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        trace = self._trace(record)
        log("library", level=level, logger=record.name, message=record.getMessage(), **trace)

    def _trace(self, record: logging.LogRecord) -> dict[str, str]:
        if record.exc_info is None:
            return {}
        return {"trace": logging.Formatter().formatException(record.exc_info)}
