"""The client of all arms: plain sockets and epoll in one process, on a core of its own.

Python's event loops wake by whole milliseconds, and cost about as much a request as a server does.
"""

from __future__ import annotations

import errno
import gc
import math
import os
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httptools
import numpy as np

from chaos.model.evidence import Floats, Ints
from chaos.perf.cores import wanted_by_one_s
from chaos.perf.load_plan import LoadPlan, renderer
from chaos.perf.service_file import Request

Address = tuple[str, int]

RECEIVE_BYTES = 262_144
MOST_EVENTS = 256
NAP_S = 0.000_05  # below this a sleep would wake too late
CONNECT_S = 5.0
DRAIN_S = 5.0  # for outstanding answers after the last request was due
UNANSWERED = 0  # the status of a request without an answer


@dataclass(frozen=True)
class Answers:
    """One entry a request, in the order of the plan: status, and seconds from when it was due.

    `received_bytes` is the size of the answer, head and body.

    `lag_s` is how late it was sent, as the client was busy or no connection was free. Both are NaN
    for what was never sent. `own_lag_s` is the part of it that is the client's own.
    """

    statuses: Ints
    latency_s: Floats
    lag_s: Floats
    own_lag_s: Floats
    received_bytes: Ints
    troubles: Counter[str]  # why requests have no answer
    client_s: float  # CPU time that the client used or stood in line for meanwhile


class ArmClient:
    """Connections to every arm, opened as they are needed."""

    def __init__(
        self, addresses: Sequence[Address], requests: Sequence[Request], connections: int
    ) -> None:
        self._epoll = select.epoll()
        self._pools = [_Pool(address, connections) for address in addresses]
        self._connections: dict[int, _Connection] = {}
        self._connecting: dict[_Connection, float] = {}  # until when, in order
        self._renderers = [
            [renderer(request, f"{host}:{port}") for request in requests]
            for host, port in addresses
        ]

    def close(self) -> None:
        """Close all connections."""
        for connection in [*self._connections.values()]:
            self._drop(connection)
        self._epoll.close()

    def send(self, plan: LoadPlan, drain_s: float = DRAIN_S) -> Answers:
        """Send every request at its time, whatever has become of those before it.

        A request without a free connection waits for one; its latency includes the wait. So if all
        are due at once, each connection asks again as soon as it is answered, until `drain_s`.
        """
        sending = _Sending(plan, self._bytes(plan))
        before_s = wanted_by_one_s(os.getpid())
        sending.begin_s = time.perf_counter()
        end_s = sending.begin_s + drain_s + (sending.dues_s[-1] if sending.dues_s else 0.0)
        while sending.is_open and (now_s := time.perf_counter()) < end_s:
            self._send_what_is_due(sending, now_s)
            self._give_up_connecting(sending, now_s)
            if sending.is_open:
                until_s = min(sending.next_due_s(end_s), self._next_given_up_s())
                self._receive(sending, until_s - time.perf_counter())
        for pool in self._pools:
            pool.waiting.clear()
        for connection in [*self._connections.values()]:
            if connection.request is not None:
                self._lose(connection, sending, "no answer in time")
        return sending.answers(wanted_by_one_s(os.getpid()) - before_s)

    def _bytes(self, plan: LoadPlan) -> list[bytes]:
        columns = (plan.arms.tolist(), plan.kinds.tolist(), plan.numbers.tolist())
        return [self._renderers[arm][kind](n) for arm, kind, n in zip(*columns, strict=True)]

    def _send_what_is_due(self, sending: _Sending, now_s: float) -> None:
        for _ in range(MOST_EVENTS):  # then answers, even if everything is due at once
            if (request := sending.take_due(now_s)) is None:
                return
            pool = self._pools[sending.arms[request]]
            pool.waiting.append(request)
            self._use(pool, sending)
            now_s = time.perf_counter()

    def _use(self, pool: _Pool, sending: _Sending) -> None:
        """Send what waits for this arm, as long as there are connections."""
        while pool.waiting and (pool.idle or pool.count < pool.limit):
            request = pool.waiting.popleft()
            if pool.idle:
                self._give(pool.idle.pop(), request, sending)
            else:
                self._connect(pool, request, sending)

    def _connect(self, pool: _Pool, request: int, sending: _Sending) -> None:
        """Begin a connection for a request; whoever waits for it must not delay other arms."""
        try:
            opened = _opened(pool.address)
        except OSError as error:
            sending.fail(request, f"no connection: {error.strerror or error}")
            return
        connection = _Connection(opened, pool)
        connection.request = request
        self._connections[opened.fileno()] = connection
        self._connecting[connection] = time.perf_counter() + CONNECT_S
        self._epoll.register(opened, select.EPOLLOUT)
        pool.count += 1

    def _connected(self, connection: _Connection, sending: _Sending) -> None:
        """Send the request that a connection was begun for, if there is one now."""
        if code := connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lose(connection, sending, f"no connection: {os.strerror(code)}")
            return
        del self._connecting[connection]
        self._epoll.modify(connection.socket, select.EPOLLIN)
        assert connection.request is not None
        self._give(connection, connection.request, sending)

    def _next_given_up_s(self) -> float:
        return next(iter(self._connecting.values()), math.inf)  # the first began first

    def _give_up_connecting(self, sending: _Sending, now_s: float) -> None:
        """Fail requests whose connection takes too long, as where a server accepts none."""
        for connection in [each for each, end_s in self._connecting.items() if end_s <= now_s]:
            self._lose(connection, sending, "no connection: timed out")

    def _give(self, connection: _Connection, request: int, sending: _Sending) -> None:
        """Send a request on a connection."""
        connection.request = request
        sending.sent(request)
        try:
            sent = connection.socket.send(sending.bytes[request])
        except OSError as error:
            self._lose(connection, sending, f"not sent: {error.strerror or error}")
        else:
            if sent < len(sending.bytes[request]):
                self._lose(connection, sending, "not sent: the server does not read")

    def _receive(self, sending: _Sending, wait_s: float) -> None:
        """Wait for answers, at most so long, and take them."""
        if wait_s > NAP_S:  # unlike epoll's, its wait is not rounded up to a millisecond
            select.select([self._epoll.fileno()], [], [], wait_s)
        ready = [self._connections[number] for number, _ in self._epoll.poll(0, MOST_EVENTS)]
        for connection in ready:
            if connection in self._connecting:
                self._connected(connection, sending)
            elif not connection.is_dropped:  # for what one before it showed
                self._read(connection, sending)

    def _read(self, connection: _Connection, sending: _Sending) -> None:
        """Take what has come."""
        try:
            if not (received := connection.socket.recv(RECEIVE_BYTES)):
                self._lose(connection, sending, "closed by the server")
                return
            connection.received_bytes += len(received)
            connection.parser.feed_data(received)
        except OSError as error:
            self._lose(connection, sending, error.strerror or str(error))
        except httptools.HttpParserError as error:
            self._lose(connection, sending, f"not HTTP: {error}")
        else:
            if connection.is_complete:
                self._take(connection, sending)

    def _take(self, connection: _Connection, sending: _Sending) -> None:
        """Note an answer, and use the connection again."""
        if connection.request is None:
            self._drop(connection)  # an answer that nobody asked for
            return
        status = connection.parser.get_status_code()
        sending.done(connection.request, status, connection.received_bytes)
        connection.request, connection.is_complete, connection.received_bytes = None, False, 0
        if connection.parser.should_keep_alive():
            connection.pool.idle.append(connection)
        else:
            self._drop(connection)
        self._use(connection.pool, sending)

    def _lose(self, connection: _Connection, sending: _Sending, why: str) -> None:
        """Give a connection up; a server may close an idle one whenever it likes."""
        request, connection.request = connection.request, None
        self._drop(connection)
        if request is not None:
            sending.fail(request, why)
            self._use(connection.pool, sending)

    def _drop(self, connection: _Connection) -> None:
        number = connection.socket.fileno()
        self._epoll.unregister(number)
        del self._connections[number]
        self._connecting.pop(connection, None)
        connection.socket.close()
        connection.pool.count -= 1
        if connection in connection.pool.idle:
            connection.pool.idle.remove(connection)


def _opened(address: Address) -> socket.socket:
    """A socket that connects, and will say when it has."""
    opened = socket.socket()
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setblocking(False)
    if (code := opened.connect_ex(address)) not in (0, errno.EINPROGRESS):
        opened.close()
        raise OSError(code, os.strerror(code))
    return opened


class _Pool:
    """The connections to one arm, and the requests that wait for one."""

    def __init__(self, address: Address, limit: int) -> None:
        self.address = address
        self.limit = limit
        self.count = 0
        self.idle: list[_Connection] = []
        self.waiting: deque[int] = deque()


class _Connection:
    """A connection, and the request whose answer it waits for."""

    def __init__(self, connected: socket.socket, pool: _Pool) -> None:
        self.socket = connected
        self.pool = pool
        self.parser = httptools.HttpResponseParser(self)
        self.request: int | None = None
        self.is_complete = False
        self.received_bytes = 0  # of the answer that is coming

    @property
    def is_dropped(self) -> bool:
        """True once its socket is closed, whose number another one may have by then."""
        return self.socket.fileno() < 0

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.is_complete = True


class _Sending:
    """A plan that is under way, and the answers so far."""

    def __init__(self, plan: LoadPlan, requests: list[bytes]) -> None:
        self.bytes = requests
        self.dues_s: list[float] = plan.due_s.tolist()
        self.arms: list[int] = plan.arms.tolist()
        self.begin_s = 0.0
        self._next = self._answered = 0
        count = len(requests)
        self._statuses = [UNANSWERED] * count
        self._latency_s, self._lag_s = [np.nan] * count, [np.nan] * count
        self._own_lag_s = [np.nan] * count
        self._received_bytes = [0] * count
        self._troubles: Counter[str] = Counter()

    @property
    def is_open(self) -> bool:
        """True until every request has an answer, or will have none."""
        return self._answered < len(self.bytes)

    def take_due(self, now_s: float) -> int | None:
        """The next request, if it is due."""
        if self._next < len(self.dues_s) and self.begin_s + self.dues_s[self._next] <= now_s:
            self._own_lag_s[self._next] = now_s - self.begin_s - self.dues_s[self._next]
            self._next += 1
            return self._next - 1
        return None

    def next_due_s(self, end_s: float) -> float:
        """The time at which the next request is due, or the end."""
        return self.begin_s + self.dues_s[self._next] if self._next < len(self.dues_s) else end_s

    def sent(self, request: int) -> None:
        """Note that it is being sent."""
        self._lag_s[request] = self._since_due_s(request)

    def done(self, request: int, status: int, received_bytes: int = 0) -> None:
        """Note its answer."""
        self._statuses[request] = status
        self._received_bytes[request] = received_bytes
        self._latency_s[request] = self._since_due_s(request)
        self._answered += 1

    def fail(self, request: int, why: str) -> None:
        """Note that it has none; it took as long as that took to show."""
        self._troubles[why] += 1
        self.done(request, UNANSWERED)

    def answers(self, client_s: float) -> Answers:
        """All answers; what still waited for a connection has none."""
        if self.is_open:
            self._troubles["never sent"] += len(self.bytes) - self._answered
        return Answers(
            np.array(self._statuses, dtype=np.int64),
            np.array(self._latency_s),
            np.array(self._lag_s),
            np.array(self._own_lag_s),
            np.array(self._received_bytes, dtype=np.int64),
            self._troubles,
            client_s,
        )

    def _since_due_s(self, request: int) -> float:
        return time.perf_counter() - self.begin_s - self.dues_s[request]


@contextmanager
def without_collector() -> Iterator[None]:
    """Turn off garbage collection: its pauses would count as the servers'."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
