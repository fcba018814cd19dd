"""Run a controller or a watchdog: `python -m chaos.failover '{"order": {"do": "control", …}}'`.

Each event is a line of JSON on stdout, with the time on the host's monotonic clock. Once its work
is done it stays until it is ended. Exits with 1 if the work could not be done, with 2 if the order
is wrong.
"""

from __future__ import annotations

import json
import signal
import sys
import time

import psycopg
from pydantic import ValidationError

from chaos.failover.controller import NeverAnswered, control
from chaos.failover.orders import FAILED, Asked, Control
from chaos.failover.watchdog import watch
from chaos.model.stack import StackError


def report(event: str, **data: object) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps({"event": event, "t_s": time.monotonic(), **data}) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Carry out the order that is the only argument, and stay until ended; return the exit code."""
    try:
        order = Asked.model_validate_json(arguments[0] if len(arguments) == 1 else "").order
    except ValidationError as error:
        sys.stderr.write(f"chaos.failover: {error.errors(include_url=False)[0]['msg']}\n")
        return 2
    try:
        control(order, report) if isinstance(order, Control) else watch(order, report)
    except (NeverAnswered, StackError, psycopg.Error) as error:
        report(FAILED, why=str(error).strip())
        return 1
    signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
