"""Streams of the traffic for each process: the coordinator creates the links and assigns them.

The coordinator runs in Locust's master, or in the only process. All processes follow the same
links, or there would be one hot key for each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gevent  # type: ignore[import-untyped]
from gevent.event import AsyncResult  # type: ignore[import-untyped]
from gevent.lock import BoundedSemaphore  # type: ignore[import-untyped]
from locust.env import Environment
from locust.rpc import Message

from scenarios.generator.http_client import HttpClient
from scenarios.generator.traffic_links import PrepareError, TrafficLinks
from scenarios.options import traffic_of
from scenarios.worker_reports import WorkerReports

REQUEST_STREAM, ASSIGN_STREAM = "linkstorm-request-stream", "linkstorm-assign-stream"
ASSIGN_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class StreamAssignment:
    """Stream `stream` of `streams`, its duration, and the codes of the links by rank."""

    stream: int
    streams: int
    duration_s: float
    codes: list[str]


class TrafficCoordinator:
    """Assigns a stream to each worker that requests one."""

    def __init__(self, environment: Environment) -> None:
        assert environment.runner is not None
        self._runner = environment.runner
        self._environment = environment
        self._links: dict[str, TrafficLinks] = {}
        self._assigned = 0
        self._reports = WorkerReports(environment)
        self._one_at_a_time = BoundedSemaphore()
        environment.events.test_start.add_listener(self._begin)  # type: ignore[no-untyped-call]
        self._runner.register_message(REQUEST_STREAM, self._assign, concurrent=True)

    def _begin(self, **_: Any) -> None:
        self._assigned = 0
        self._reports.begin()

    def _assign(self, msg: Message, **_: Any) -> None:
        with self._one_at_a_time:
            try:
                assignment = self._next_assignment()
                reply = {"assignment": assignment}
                self._reports.expect(assignment[0], msg.node_id)
            except (OSError, ValueError, PrepareError) as problem:
                # The host may have lost its links for good: the next test creates new ones.
                self._links.pop(self._environment.host or "", None)
                reply = {"error": [f"{self._environment.host}: {problem}"]}
        self._runner.send_message(ASSIGN_STREAM, {"request": msg.data, **reply}, msg.node_id)

    def _next_assignment(self) -> list[Any]:
        host, options = self._environment.host or "", self._environment.parsed_options
        assert options is not None
        if host not in self._links:
            self._links[host] = TrafficLinks(HttpClient(host))
        codes = self._links[host].prepare(traffic_of(options).keys)
        stream, self._assigned = self._assigned, self._assigned + 1
        return [stream, self._runner.target_user_count, options.run_time or math.inf, codes]


class TrafficWorker:
    """Requests the stream of this process from the coordinator."""

    def __init__(self, environment: Environment) -> None:
        assert environment.runner is not None
        self._runner = environment.runner
        self._requested = 0
        self._reply: AsyncResult[dict[str, Any]] = AsyncResult()
        self._runner.register_message(ASSIGN_STREAM, self._receive)

    def request_stream(self) -> StreamAssignment:
        """Wait for a stream of the running test; `PrepareError` says why there is none."""
        self._requested, self._reply = self._requested + 1, AsyncResult()
        self._runner.send_message(REQUEST_STREAM, self._requested)
        try:
            reply = self._reply.get(timeout=ASSIGN_TIMEOUT_S)
        except gevent.Timeout as late:
            why = f"the links were not ready within {ASSIGN_TIMEOUT_S:g} s: set fewer keys"
            raise PrepareError(why) from late
        if "error" in reply:
            raise PrepareError(reply["error"][0])
        return StreamAssignment(*reply["assignment"])

    def _receive(self, msg: Message, **_: Any) -> None:
        if msg.data["request"] == self._requested:  # a reply to a stopped test is dropped
            self._reply.set(msg.data)
