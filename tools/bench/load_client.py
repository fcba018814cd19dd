"""Load client of the benchmark: plain sockets and epoll, one process, one core.

Python's event loops wake by whole milliseconds and cost about as much a request as the server
does. This client uses epoll directly: it wakes within tens of microseconds, and leaves half of its
core to the databases.
"""

from __future__ import annotations

import random
import select
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from chaos.perf.arm_client import without_collector
from tools.bench.answers import Expected, UnreadableAnswer, first_line, is_whole

Address = tuple[str, int]
Requests = Iterator[bytes]

_RECEIVE_BYTES = 65_536
_MOST_EVENTS = 1024
_DRAIN_S = 5.0  # for outstanding responses in the end
_NAP_S = 0.000_05  # below this a sleep would wake too late
_CONNECT_S = 5.0


@dataclass
class LoopOutcome:
    """Results of the requests of one loop."""

    answered: int = 0  # as expected
    in_time: int = 0  # of these, before the time was up
    wrong: Counter[str] = field(default_factory=Counter)
    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    lags_s: array[float] = field(default_factory=lambda: array("d"))


@dataclass(slots=True)
class _ClientConnection:
    socket: socket.socket
    due_s: float = 0.0
    received: bytes = b""  # of an incomplete response


class LoadClient:
    """Connections to one server, and the requests to send on them."""

    def __init__(self, address: Address, requests: Requests, expected: Expected) -> None:
        self._address = address
        self._requests = requests
        self._start, self._proof = expected.start, expected.proof
        self._epoll = select.epoll()
        self._connections: dict[int, _ClientConnection] = {}
        self._unanswered = 0

    @contextmanager
    def connected(self, count: int) -> Iterator[None]:
        """Open idle connections."""
        with ExitStack() as opened:
            opened.callback(self._epoll.close)
            for _ in range(count):
                connected = socket.create_connection(self._address, _CONNECT_S)
                opened.callback(connected.close)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connected.setblocking(False)
                self._connections[connected.fileno()] = _ClientConnection(connected)
                self._epoll.register(connected, select.EPOLLIN)
            with without_collector():
                yield

    def closed(self, seconds: float) -> LoopOutcome:
        """Run a closed loop, which saturates the server: each response is followed by a request.

        Ends when the time is up, or after the last request.
        """
        outcome = LoopOutcome()
        end_s = time.perf_counter() + seconds
        for connection in [*self._connections.values()]:
            self._send(connection, outcome)
        now_s = time.perf_counter()
        while self._unanswered and now_s < end_s + _DRAIN_S:
            answered = self._receive(outcome, max(end_s - now_s, _NAP_S))
            now_s = time.perf_counter()
            if now_s >= end_s:
                continue
            outcome.in_time = outcome.answered
            for connection in answered:
                self._send(connection, outcome)
        self._give_up(outcome)
        return outcome

    def open(self, rate_per_s: float, seconds: float, seed: int) -> LoopOutcome:
        """Run an open loop: requests at random times, each timed from when it was due.

        A request without an idle connection waits for one; its latency includes the wait.
        """
        outcome = LoopOutcome()
        idle = [*self._connections.values()]
        dues_s = deque(arrivals(rate_per_s, seconds, seed))
        begin_s = time.perf_counter()
        give_up_s = begin_s + seconds + _DRAIN_S
        while (dues_s or self._unanswered) and (now_s := time.perf_counter()) < give_up_s:
            while dues_s and begin_s + dues_s[0] <= now_s and idle:
                connection = idle.pop()
                connection.due_s = begin_s + dues_s.popleft()
                outcome.lags_s.append(time.perf_counter() - connection.due_s)
                self._send(connection, outcome)
            next_s = begin_s + dues_s[0] if dues_s and idle else give_up_s
            for connection in self._receive(outcome, next_s - time.perf_counter()):
                outcome.latencies_s.append(time.perf_counter() - connection.due_s)
                idle.append(connection)
        self._give_up(outcome)
        if dues_s:
            outcome.wrong["never sent"] += len(dues_s)
        return outcome

    def _send(self, connection: _ClientConnection, outcome: LoopOutcome) -> None:
        request = next(self._requests, b"")
        if not request:
            return  # all have been sent
        self._unanswered += 1
        try:
            sent = connection.socket.send(request)
        except OSError as error:
            self._lose(connection, outcome, f"not sent: {error}")
        else:
            if sent < len(request):
                self._lose(connection, outcome, "not sent: the server does not read")

    def _receive(self, outcome: LoopOutcome, wait_s: float) -> list[_ClientConnection]:
        """Wait for responses, at most so long; return the connections with complete ones."""
        if wait_s > _NAP_S:  # unlike epoll's, its wait is not rounded up to a millisecond
            select.select([self._epoll.fileno()], [], [], wait_s)
        answered = []
        for number, _ in self._epoll.poll(0, _MOST_EVENTS):
            connection = self._connections[number]
            try:
                received = connection.received + connection.socket.recv(_RECEIVE_BYTES)
                if received == connection.received:
                    raise ConnectionResetError("closed by the server")
                if not is_whole(received):
                    connection.received = received
                    continue
            except (OSError, UnreadableAnswer) as error:
                self._lose(connection, outcome, str(error))
                continue
            connection.received = b""
            self._unanswered -= 1
            if received.startswith(self._start) and self._proof in received:
                outcome.answered += 1
            else:
                outcome.wrong[self._difference(received)] += 1
            answered.append(connection)
        return answered

    def _difference(self, received: bytes) -> str:
        said = first_line(received)
        if received.startswith(self._start):
            return f"{said} without {self._proof.decode()!r}"
        return said

    def _lose(self, connection: _ClientConnection, outcome: LoopOutcome, why: str) -> None:
        outcome.wrong[why] += 1
        self._unanswered -= 1
        number = connection.socket.fileno()
        self._epoll.unregister(number)
        del self._connections[number]

    def _give_up(self, outcome: LoopOutcome) -> None:
        if self._unanswered:
            outcome.wrong[f"no answer within {_DRAIN_S:g} s of the end"] += self._unanswered
            self._unanswered = 0


def arrivals(rate_per_s: float, seconds: float, seed: int) -> Iterator[float]:
    """Yield the due times of a Poisson process, in seconds from the start: independent users."""
    draw = random.Random(seed)
    due_s = draw.expovariate(rate_per_s)
    while due_s < seconds:
        yield due_s
        due_s += draw.expovariate(rate_per_s)
