"""The log: one JSON object a line on standard output."""

from __future__ import annotations

import contextlib
import json
import sys


def log(event: str, **fields: object) -> None:
    """Write one line at once; a reader of the log that went away is no reason to stop serving."""
    line = json.dumps({"event": event, **fields}, default=str)
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
