"""A server with known service times: `python -m tools.bench.fixture CASE` prints its port.

It serves any number of requests at once, each after its own service time and not before, so the
correct report of a tool follows from the case alone. A freeze is made from outside, by SIGSTOP. As
no machine is quiet, it also notes how long each request of `/known` really took, from its arrival
in the kernel until the response was written, and prints that at the end (SIGTERM) as JSON.
"""

from __future__ import annotations

import gc
import heapq
import json
import math
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, time
from types import FrameType
from typing import NoReturn

from tools.bench.truth import CASES

_RECEIVE_BYTES, _MOST_EVENTS, _BACKLOG = 16_384, 1024, 4096
_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples fill (0, 1) evenly, in an irregular order
_STAMP, _STAMPED = 35, struct.Struct("@ll")  # SO_TIMESTAMPNS: arrival in the kernel
_STAMP_SPACE = socket.CMSG_SPACE(_STAMPED.size)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_LINK = json.dumps({"code": "known"}).encode()
_CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(_LINK), _LINK)


class Fixture:
    """Server on a free port of the loopback interface."""

    def __init__(self, service_s: Callable[[float], float]) -> None:
        self._service_s = service_s
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._due: list[tuple[float, int, float, socket.socket, bool]] = []
        self._asked = 0
        self.served_s: list[float] = []

    @property
    def port(self) -> int:
        """Listening port."""
        port: int = self._listener.getsockname()[1]
        return port

    def serve(self) -> NoReturn:
        """Serve until a signal ends it."""
        while True:
            wait_s = self._due[0][0] - monotonic() if self._due else 1.0
            if wait_s > 0:  # unlike epoll's, select's wait is not rounded up to a millisecond
                select.select([self._epoll], [], [], wait_s)
            for number, _ in self._epoll.poll(0, _MOST_EVENTS):  # in the order they became ready
                if number == self._listener.fileno():
                    self._accept()
                else:
                    self._read(self._sockets[number])
            while self._due and self._due[0][0] <= monotonic():
                _, _, arrived_s, client, known = heapq.heappop(self._due)
                with suppress(OSError):
                    client.send(_OK)
                if known:
                    self.served_s.append(monotonic() - arrived_s)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setsockopt(socket.SOL_SOCKET, _STAMP, 1)
                self._sockets[client.fileno()] = client
                self._epoll.register(client, select.EPOLLIN)

    def _read(self, client: socket.socket) -> None:
        """Read one request: clients send each in one packet, and wait for the response."""
        try:
            received, stamps, _, _ = client.recvmsg(_RECEIVE_BYTES, _STAMP_SPACE)
        except OSError:
            received, stamps = b"", []
        if not received:
            self._epoll.unregister(client)
            del self._sockets[client.fileno()]
            client.close()
        elif received.startswith(b"POST"):
            client.send(_CREATED)
        else:
            self._asked += 1
            known = received.startswith(b"GET /known")
            queued_s = time() - _moment(stamps[0][2]) if stamps else 0.0
            now_s = monotonic()
            due_s = now_s + self._service_s(self._asked * _GOLDEN % 1.0)
            heapq.heappush(self._due, (due_s, self._asked, now_s - queued_s, client, known))


def _moment(stamp: bytes) -> float:
    seconds, nanoseconds = _STAMPED.unpack(stamp)
    return float(seconds + nanoseconds * 1e-9)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def main(case: str) -> None:
    """Serve one case until SIGTERM."""
    signal.signal(signal.SIGTERM, _end)
    fixture = Fixture(CASES[case].service_s)
    sys.stdout.write(f"{fixture.port}\n")
    sys.stdout.flush()
    gc.freeze()
    gc.disable()
    try:
        fixture.serve()
    finally:
        json.dump([round(took_s, 6) for took_s in fixture.served_s], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
