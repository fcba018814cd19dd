"""One HTTP/1.1 exchange on a kept connection: never queued, never sent twice, never redirected.

Locust's FastHttpUser sends a GET again, up to its pool size + 1 times, when a connection breaks
before the answer (geventhttpclient, HTTPClient.request), so a lost click would be counted as one
that never left. The history needs to know what happened to each single request.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

import gevent  # type: ignore[import-untyped]
import httptools
from gevent import socket, ssl

RECEIVE_BYTES = 16_384
CONNECT_FIRST_S = 5.0


class Answer(NamedTuple):
    """What became of a request; status 0 where no answer came."""

    outcome: str
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    error: str


class Connection:
    """A socket and the parser of the answers on it, one request at a time."""

    __slots__ = ("_done", "_parser", "_socket", "body", "headers", "reusable")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._parser = httptools.HttpResponseParser(self)
        self._done = False
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.reusable = False  # whether the server keeps it open, as its last answer said

    def exchange(self, request: bytes) -> int:
        """Send, wait for the whole answer, and return its status; `OSError` if the line breaks."""
        self._done, self.headers, self.body = False, {}, b""
        self._socket.sendall(request)
        while not self._done:
            received = self._socket.recv(RECEIVE_BYTES)
            if not received:
                raise ConnectionResetError("closed before the answer was complete")
            self._parser.feed_data(received)
        return int(self._parser.get_status_code())

    def is_alive(self) -> bool:
        """Whether it is still open and silent, as an idle connection should be."""
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
        """Close the socket; whoever waits on it gets an `OSError`."""
        self._socket.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self.body += body

    def on_message_complete(self) -> None:
        """Called by the parser, which forgets what the answer said as soon as this returns."""
        self.reusable = self._parser.should_keep_alive()
        self._done = True


class Wire:
    """Kept connections to one host; opens another whenever none is idle."""

    def __init__(self, url: str) -> None:
        """Connect once, to learn the address that answers; `OSError` if none does."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"host must be an http:// or https:// URL, not {url!r}")
        self.url = url.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._name, self._host, self._path = parts.hostname, parts.netloc, parts.path.rstrip("/")
        port = parts.port or (443 if self._tls else 80)
        self._family, self._address = _reach(self._name, port)
        self._idle: list[Connection] = []

    def request(self, method: str, path: str, json: str = "") -> bytes:
        """The bytes of a request, to be built once and sent often."""
        head = f"{method} {self._path}{path} HTTP/1.1\r\nHost: {self._host}\r\n"
        head += "User-Agent: linkstorm\r\nAccept: */*\r\n"
        if json:
            head += f"Content-Type: application/json\r\nContent-Length: {len(json.encode())}\r\n"
        return f"{head}\r\n{json}".encode()

    def exchange(self, request: bytes, timeout_s: float) -> Answer:
        """Send one request and wait for its answer, at most `timeout_s` with the connecting."""
        connection: Connection | None = None
        timeout = gevent.Timeout.start_new(timeout_s)
        try:
            connection = self._take()
            status = connection.exchange(request)
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

    def _take(self) -> Connection:
        while self._idle:
            if (connection := self._idle.pop()).is_alive():
                return connection
            connection.close()
        return Connection(self._connect())

    def _connect(self) -> socket.socket:
        fresh = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            fresh.connect(self._address)
            fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._tls.wrap_socket(fresh, server_hostname=self._name) if self._tls else fresh
        except BaseException:
            fresh.close()
            raise

    def _answered(self, connection: Connection, status: int) -> Answer:
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        outcome = "ok" if 200 <= status < 400 else "fail"
        error = "" if outcome == "ok" else f"status {status}"
        return Answer(outcome, status, connection.headers, connection.body, error)


def _reach(name: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """The address family and address that answer under a name."""
    try:
        with socket.create_connection((name, port), timeout=CONNECT_FIRST_S) as first:
            return first.family, first.getpeername()
    except OSError as problem:
        raise OSError(f"cannot reach {name}:{port}: {problem}") from problem


def _lost(connection: Connection | None, error: str) -> Answer:
    """Without a connection nothing was sent; with one, it may have happened or not."""
    if connection is None:
        return Answer("fail", 0, {}, b"", f"not sent: {error}")
    connection.close()
    return Answer("unknown", 0, {}, b"", error)
