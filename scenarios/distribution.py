"""Which part of the traffic is whose: Locust's master (or only process) makes the links and deals.

All processes must follow the same links, or there would be one hot key for each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import Any

import gevent  # type: ignore[import-untyped]
from gevent.event import AsyncResult  # type: ignore[import-untyped]
from gevent.lock import BoundedSemaphore  # type: ignore[import-untyped]
from locust.env import Environment
from locust.rpc import Message

from scenarios.generator.crowd_accounting import Accounts
from scenarios.generator.traffic_links import PrepareError, TrafficLinks
from scenarios.generator.wire import Wire
from scenarios.options import traffic_of

ASK, DEAL = "linkstorm-ask", "linkstorm-deal"
DEAL_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class TrafficPart:
    """Stream `stream` of `streams`, for how long, and the links they all follow, by rank."""

    stream: int
    streams: int
    duration_s: float
    codes: list[str]


class Dealer:
    """Answers whoever asks for a part; runs beside the web page, in the master if there is one."""

    def __init__(self, environment: Environment) -> None:
        assert environment.runner is not None
        self._runner = environment.runner
        self._environment = environment
        self._links: dict[str, TrafficLinks] = {}
        self._dealt = 0
        self._accounts = Accounts(environment)
        self._one_at_a_time = BoundedSemaphore()
        environment.events.test_start.add_listener(self._begin)  # type: ignore[no-untyped-call]
        self._runner.register_message(ASK, self._deal, concurrent=True)

    def _begin(self, **_: Any) -> None:
        self._dealt = 0
        self._accounts.begin()

    def _deal(self, msg: Message, **_: Any) -> None:
        with self._one_at_a_time:
            try:
                part = self._part()
                answer = {"part": part}
                self._accounts.dealt(part[0], msg.node_id)
            except (OSError, ValueError, PrepareError) as problem:
                # The links may be gone for good with what was there: the next test makes its own.
                self._links.pop(self._environment.host or "", None)
                answer = {"error": [f"{self._environment.host}: {problem}"]}
        self._runner.send_message(DEAL, {"ask": msg.data, **answer}, msg.node_id)

    def _part(self) -> list[Any]:
        host, options = self._environment.host or "", self._environment.parsed_options
        assert options is not None
        if host not in self._links:
            self._links[host] = TrafficLinks(Wire(host))
        codes = self._links[host].prepare(traffic_of(options).keys)
        stream, self._dealt = self._dealt, self._dealt + 1
        return [stream, self._runner.target_user_count, options.run_time or math.inf, codes]


class Hand:
    """Asks for a part and waits for it."""

    def __init__(self, environment: Environment) -> None:
        assert environment.runner is not None
        self._runner = environment.runner
        self._asks = count(1)
        self._asked = 0
        self._dealt: AsyncResult[dict[str, Any]] = AsyncResult()
        self._runner.register_message(DEAL, self._receive)

    def ask(self) -> TrafficPart:
        """A part of the running test; `PrepareError` says why there is none."""
        self._asked, self._dealt = next(self._asks), AsyncResult()
        self._runner.send_message(ASK, self._asked)
        try:
            answer = self._dealt.get(timeout=DEAL_TIMEOUT_S)
        except gevent.Timeout as late:
            why = f"the links were not ready within {DEAL_TIMEOUT_S:g} s: ask for fewer keys"
            raise PrepareError(why) from late
        if "error" in answer:
            raise PrepareError(answer["error"][0])
        return TrafficPart(*answer["part"])

    def _receive(self, msg: Message, **_: Any) -> None:
        if msg.data["ask"] == self._asked:  # not for a test that was stopped while it waited
            self._dealt.set(msg.data)
