"""The log: one JSON object a line on standard output, whoever has something to say."""

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
    """Give the lines the name of this process, and take in what libraries have to say."""
    _process["process"] = process
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)


def log(event: str, *, level: Level = "info", **fields: object) -> None:
    """Write one line at once, with the id of the request that it belongs to, if it does to one.

    A reader of the log that went away is no reason to stop serving.
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"time": time, "level": level, "event": event, **_process}
    if asked_for := request_id.get():
        head["request_id"] = asked_for.decode("ascii")
    with contextlib.suppress(OSError):
        sys.stdout.write(_encode(head | fields) + "\n")
        sys.stdout.flush()


class _Libraries(logging.Handler):
    """What libraries log, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        trace = self._trace(record)
        log("library", level=level, logger=record.name, message=record.getMessage(), **trace)

    def _trace(self, record: logging.LogRecord) -> dict[str, str]:
        if record.exc_info is None:
            return {}
        return {"trace": logging.Formatter().formatException(record.exc_info)}
