"""An HTTP/1.1 client with kept connections: never queues, repeats or redirects a request.

Locust's FastHttpUser repeats a GET, up to its pool size + 1 times, when a connection breaks before
the answer (geventhttpclient, HTTPClient.request), so a lost click would count as one that never
left. The record needs the fate of each single request.

An answer is complete when the kernel has its last byte, not when this process reads it: after a
server's stall thousands of answers come at once, and reading them is the generator's delay. Linux
gives that time (`SO_TIMESTAMPNS`); over TLS and on other systems it is the moment of reading.
"""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import gevent  # type: ignore[import-untyped]
import httptools
from gevent import socket, ssl

RECEIVE_BYTES = 16_384
CONNECT_FIRST_S = 5.0
STAMP = 35  # SO_TIMESTAMPNS of Linux's generic socket.h: seconds and nanoseconds, wall clock
ABSENT = (404, 410)
LOCAL_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}

_STAMP = struct.Struct("@ll")
_STAMP_SPACE = socket.CMSG_SPACE(_STAMP.size)


class OutOfSockets(OSError):
    """This machine has no socket, port or file descriptor left: nothing was sent."""


class Response(NamedTuple):
    """The outcome of a request and its time on the monotonic clock; status 0 without an answer."""

    outcome: str
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    error: str
    done_s: float


class HttpConnection:
    """A socket and the parser of the answers on it, one request at a time."""

    __slots__ = (
        *("_done", "_parser", "_socket", "_stamped"),
        *("answered_s", "body", "headers", "reusable"),
    )

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._stamped = _stamping(connected)
        self._parser = httptools.HttpResponseParser(self)
        self._done = False
        self.answered_s = 0.0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.reusable = False  # as the last answer says

    def exchange(self, request: bytes) -> int:
        """Send, wait for the whole answer, return its status; `OSError` on a broken connection."""
        self._done, self.headers, self.body = False, {}, b""
        sent_s = monotonic()
        self._socket.sendall(request)
        while not self._done:
            received, lag_s = self._receive()
            if not received:
                raise ConnectionResetError("closed before the answer was complete")
            self._parser.feed_data(received)
        read_s = monotonic()
        # Kernel stamps are on the wall clock; a lag that a clock step made is discarded.
        self.answered_s = read_s - lag_s if 0.0 < lag_s < read_s - sent_s else read_s
        return int(self._parser.get_status_code())

    def _receive(self) -> tuple[bytes, float]:
        """Received bytes, and the seconds that they waited in the kernel; 0 if unknown."""
        if not self._stamped:
            return self._socket.recv(RECEIVE_BYTES), 0.0
        received, stamps, _, _ = self._socket.recvmsg(RECEIVE_BYTES, _STAMP_SPACE)
        for _, kind, stamp in stamps:
            if kind == STAMP and len(stamp) == _STAMP.size:
                seconds, nanoseconds = _STAMP.unpack(stamp)
                return received, time() - seconds - nanoseconds * 1e-9
        return received, 0.0

    def is_alive(self) -> bool:
        """True if the connection is open and idle."""
        self._socket.settimeout(0.0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            self._socket.settimeout(None)
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the socket; a greenlet that waits on it gets an `OSError`."""
        self._socket.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self.body += body

    def on_message_complete(self) -> None:
        """Called by the parser, which drops the headers as soon as this returns."""
        self.reusable = self._parser.should_keep_alive()
        self._done = True


class HttpClient:
    """A pool of connections to one host; opens another whenever none is idle."""

    def __init__(self, url: str) -> None:
        """Connect once to find the address that answers; `OSError` if none does."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"host must be an http:// or https:// URL, not {url!r}")
        self.url = url.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._name, self._host, self._path = parts.hostname, parts.netloc, parts.path.rstrip("/")
        port = parts.port or (443 if self._tls else 80)
        self._family, self._address = _resolve(self._name, port)
        self._idle: list[HttpConnection] = []

    def request(
        self, method: str, path: str, json: str = "", headers: Mapping[str, str] = {}
    ) -> bytes:
        """Build the bytes of a request once, to be sent often."""
        head = f"{method} {self._path}{path} HTTP/1.1\r\nHost: {self._host}\r\n"
        head += "User-Agent: linkstorm\r\nAccept: */*\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if json:
            head += f"Content-Type: application/json\r\nContent-Length: {len(json.encode())}\r\n"
        return f"{head}\r\n{json}".encode()

    def exchange(self, request: bytes, timeout_s: float) -> Response:
        """Send one request and wait for its answer, at most `timeout_s` including the connect.

        Raises:
            OutOfSockets: this machine could not send.
        """
        connection: HttpConnection | None = None
        timeout = gevent.Timeout.start_new(timeout_s)
        try:
            connection = self._take()
            status = connection.exchange(request)
        except OutOfSockets:
            raise
        except (OSError, httptools.HttpParserError) as problem:
            return _lost(connection, str(problem))
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            return _lost(connection, f"no answer in {timeout_s:g} s")
        finally:
            timeout.close()
        return self._answered(connection, status)

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> HttpConnection:
        while self._idle:
            if (connection := self._idle.pop()).is_alive():
                return connection
            connection.close()
        return HttpConnection(self._connect())

    def _connect(self) -> socket.socket:
        with _local_limits_named():
            fresh = socket.socket(self._family, socket.SOCK_STREAM)
            try:
                fresh.connect(self._address)
                fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls:
                    return self._tls.wrap_socket(fresh, server_hostname=self._name)
            except BaseException:
                fresh.close()
                raise
            return fresh

    def _answered(self, connection: HttpConnection, status: int) -> Response:
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        outcome = "ok" if 200 <= status < 400 else "absent" if status in ABSENT else "fail"
        error = "" if outcome == "ok" else f"status {status}"
        return Response(
            outcome, status, connection.headers, connection.body, error, connection.answered_s
        )


def _stamping(connected: socket.socket) -> bool:
    """Turn kernel timestamps on; False where there are none."""
    if sys.platform != "linux" or isinstance(connected, ssl.SSLSocket):
        return False
    connected.setsockopt(socket.SOL_SOCKET, STAMP, 1)
    return True


@contextmanager
def _local_limits_named() -> Iterator[None]:
    """Turn errors of this machine's own limits into `OutOfSockets`."""
    try:
        yield
    except OSError as problem:
        if problem.errno in LOCAL_LIMITS:
            raise OutOfSockets(problem.errno, problem.strerror) from problem
        raise


def _resolve(name: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """The address family and address that answer under a name."""
    try:
        with socket.create_connection((name, port), timeout=CONNECT_FIRST_S) as first:
            return first.family, first.getpeername()
    except OSError as problem:
        raise OSError(f"cannot reach {name}:{port}: {problem}") from problem


def _lost(connection: HttpConnection | None, error: str) -> Response:
    """`fail` without a connection: nothing was sent. `unknown` with one: it may have arrived."""
    if connection is None:
        return Response("fail", 0, {}, b"", f"not sent: {error}", monotonic())
    connection.close()
    return Response("unknown", 0, {}, b"", error, monotonic())
