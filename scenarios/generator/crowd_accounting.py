"""Whether a crowd of one or many processes did what it was asked, as its master can tell.

Each part of the traffic that was dealt out has to be accounted for by who took it. A part without
an account belonged to a process that died: what it sent, nobody knows.
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

STOP, ACCOUNT = "linkstorm-stop", "linkstorm-account"
WAIT_S = 10.0  # for the answers to what is in flight
INVALID = 3
FILE = "load.json"
_POLL_S = 0.05


class Accounts:
    """Kept beside the dealer: what was dealt in a test, and what came of it."""

    def __init__(self, environment: Environment) -> None:
        assert environment.runner is not None
        self._environment = environment
        self._runner = environment.runner
        self._dealt: dict[int, str] = {}  # stream -> who took it
        self._told: dict[int, Generator] = {}
        self._runner.register_message(ACCOUNT, self._note)
        environment.events.test_stopping.add_listener(self.close)  # type: ignore[no-untyped-call]

    def begin(self) -> None:
        """A new test: nothing is dealt yet."""
        self._dealt, self._told = {}, {}

    def dealt(self, stream: int, node: str) -> None:
        """Somebody took a part."""
        self._dealt[stream] = node

    def close(self, **_: Any) -> None:
        """Have every process stop and tell, and say what the test is worth."""
        if not self._dealt:
            return
        self._runner.send_message(STOP)
        deadline_s = monotonic() + WAIT_S
        while any(map(self._lives, self._silent().values())) and monotonic() < deadline_s:
            gevent.sleep(_POLL_S)
        whole = Generator.together([*self._told.values()])
        reasons = list(self._reasons(whole))
        verdict = "INVALID" if reasons else "PASS"
        log.info("%s: %s", verdict, "; ".join(reasons) or f"{whole.sent} sent as they were due")
        if directory := os.environ.get("LINKSTORM_RECORD"):
            told = {"verdict": verdict, "reasons": reasons, "streams": len(self._dealt)}
            text = json.dumps({**told, "generator": asdict(whole)}, indent=2)
            Path(directory).mkdir(parents=True, exist_ok=True)
            (Path(directory) / FILE).write_text(text + "\n", encoding="utf-8")
        if reasons:
            self._environment.process_exit_code = INVALID
        self.begin()

    def _note(self, msg: Message, **_: Any) -> None:
        stream, figures = msg.data
        self._told[stream] = Generator(**figures)

    def _silent(self) -> Mapping[int, str]:
        """Who has taken a part and not told of it."""
        return {s: node for s, node in self._dealt.items() if s not in self._told}

    def _lives(self, node: str) -> bool:
        """As far as is known: a dead worker is missed after three seconds."""
        if not isinstance(self._runner, MasterRunner):
            return True
        return node in self._runner.clients and self._runner.clients[node].state != STATE_MISSING

    def _reasons(self, whole: Generator) -> Iterator[str]:
        for stream, node in self._silent().items():
            yield f"{node} died or never told what became of its part (stream {stream})"
        if whole.late > LATE_SHARE_MAX * whole.sent:
            yield f"{whole.late} of {whole.sent} requests were late"
        if whole.unsent:
            yield f"{whole.unsent} of {whole.offered} requests were not sent"
        if whole.no_socket:
            yield f"{whole.no_socket} requests found no socket or file descriptor"
