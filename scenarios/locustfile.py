"""Linkstorm's traffic for Locust: `locust -f scenarios/locustfile.py --host URL`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust import User, events, task

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chaos.model import HOT_RANK
from scenarios.control import Control, claim_stdout, stdin_lines
from scenarios.crowd import Crowd
from scenarios.dispatcher import Exchange
from scenarios.history import History
from scenarios.live import Live
from scenarios.wire import Wire

CONTROLLED = os.environ.get("LINKSTORM_CONTROL") == "1"
RECORD = os.environ.get("LINKSTORM_RECORD")
EVENTS = claim_stdout()
LIVE = Live()


class NotOk(Exception):
    """Why Locust shows a request as failed."""


def report(seen: Exchange) -> None:
    """Tell Locust of a request, with its latency from the intended time."""
    answer = seen.answer
    events.request.fire(  # type: ignore[no-untyped-call]
        request_type="GET",
        name="hot link" if seen.rank == HOT_RANK else "other links",
        response_time=(seen.done_s - seen.intended_s) * 1000,
        response_length=len(answer.body),
        exception=NotOk(answer.error) if answer.error else None,
        context={},
    )


class Visitors(User):
    """A whole crowd in one Locust user: Locust starts and stops it, the curve sets its rate."""

    fixed_count = 1

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        history = History(Path(RECORD), "0") if RECORD else None
        self.crowd = Crowd(Wire(self.host or ""), LIVE, history, 8000, report)

    @task
    def visit(self) -> None:
        """Serve the engine until it hangs up."""
        self.environment.process_exit_code = 0
        Control(self.crowd, stdin_lines(), EVENTS).serve()
        gevent.spawn(self.environment.runner.quit)
        gevent.sleep(60)
