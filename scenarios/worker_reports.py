"""The verdict on a test that one or many Locust processes generated.

Each assigned stream needs a report from its worker. A stream without one belonged to a process
that died: nobody can say what it sent.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_MISSING, MasterRunner

from chaos.model.evidence import LATE_SHARE_MAX, Generator

log = logging.getLogger(__name__)

STOP_SENDING, REPORT = "linkstorm-stop", "linkstorm-report"
REPORT_TIMEOUT_S = 10.0  # covers the answers to requests in flight
EXIT_INVALID = 3
FILE = "load.json"
_POLL_S = 0.05


class WorkerReports:
    """Collects in the coordinator which streams a test assigned and what their workers sent."""

    def __init__(self, environment: Environment) -> None:
        assert environment.runner is not None
        self._environment = environment
        self._runner = environment.runner
        self._assigned: dict[int, str] = {}  # stream -> node
        self._received: dict[int, Generator] = {}
        self._runner.register_message(REPORT, self._receive)
        environment.events.test_stopping.add_listener(self.close)  # type: ignore[no-untyped-call]

    def begin(self) -> None:
        """Start a new test without assignments."""
        self._assigned, self._received = {}, {}

    def expect(self, stream: int, node: str) -> None:
        """Expect a report on this stream from this node."""
        self._assigned[stream] = node

    def close(self, **_: Any) -> None:
        """Stop every worker, wait for the reports, and write the verdict on the test."""
        if not self._assigned:
            return
        self._runner.send_message(STOP_SENDING)
        deadline_s = monotonic() + REPORT_TIMEOUT_S
        while any(map(self._is_alive, self._missing().values())) and monotonic() < deadline_s:
            gevent.sleep(_POLL_S)
        total = Generator.together([*self._received.values()])
        reasons = list(self._reasons(total))
        verdict = "INVALID" if reasons else "PASS"
        log.info("%s: %s", verdict, "; ".join(reasons) or f"{total.sent} requests sent on time")
        if directory := os.environ.get("LINKSTORM_RECORD"):
            summary = {"verdict": verdict, "reasons": reasons, "streams": len(self._assigned)}
            text = json.dumps({**summary, "generator": asdict(total)}, indent=2)
            Path(directory).mkdir(parents=True, exist_ok=True)
            (Path(directory) / FILE).write_text(text + "\n", encoding="utf-8")
        if reasons:
            self._environment.process_exit_code = EXIT_INVALID
        self.begin()

    def _receive(self, msg: Message, **_: Any) -> None:
        stream, figures = msg.data
        self._received[stream] = Generator(**figures)

    def _missing(self) -> Mapping[int, str]:
        """Nodes by stream that have not reported yet."""
        return {s: node for s, node in self._assigned.items() if s not in self._received}

    def _is_alive(self, node: str) -> bool:
        """True while Locust gets heartbeats from a node; it notices a dead one after 3 s."""
        if not isinstance(self._runner, MasterRunner):
            return True
        return node in self._runner.clients and self._runner.clients[node].state != STATE_MISSING

    def _reasons(self, total: Generator) -> Iterator[str]:
        for stream, node in self._missing().items():
            yield f"{node} died or sent no report on its stream {stream}"
        if total.late > LATE_SHARE_MAX * total.sent:
            yield f"{total.late} of {total.sent} requests were late"
        if total.unsent:
            yield f"{total.unsent} of {total.offered} requests were not sent"
        if total.no_socket:
            yield f"{total.no_socket} requests found no socket or file descriptor"
