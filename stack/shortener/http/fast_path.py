"""The fast path: redirects from the cache go straight from HTTP parser to socket, without ASGI.

More than half of the cost of a bare ASGI response under uvicorn is neither parsing nor the socket:
a scope, a task, an event, two messages and a check of each header by regular expressions. A
redirect from the cache needs none of it, and is nearly all of the traffic. A request that needs
more than the cache is handed over to the ASGI app, with the state so far.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from stack.shortener.http.asgi import ADDRESS_MAX_BYTES, Headers
from stack.shortener.http.problems import Problem, document, headers
from stack.shortener.infra.codes import CODE

HANDED_OVER = "shortener.handed_over"  # key of that state in the ASGI scope
Peer = tuple[str, int] | None  # a client over a Unix socket has no address
_LINK = re.compile(rb"/(%b)/?(?:\?.{0,%d})?" % (CODE.pattern.encode(), ADDRESS_MAX_BYTES - 70))

HEAD_MAX_BYTES = 32 * 1024
_OTHER_VERSION = re.compile("HTTP version|PRI/Upgrade")  # the parser's messages
_HEAD_S = 10.0  # request headers fit in a few packets


class FastPath(Protocol):
    """Responds to links from the cache; see `Redirects.handle`."""

    def accepts(self, code: str) -> bool:
        """True if a path of one segment is a link."""

    def handle(self, exchange: FastPathExchange) -> None:
        """Call `answer` or `hand_over` of the exchange, now or later, once."""


class _NoEvent:
    def set(self) -> None:
        """Do nothing: a request on the fast path has no body to wait for."""


class FastPathExchange:
    """A request on the fast path and its response; replaces uvicorn's request-response cycle."""

    __slots__ = (
        *("body", "code", "disconnected", "fields", "headers", "keep_alive", "more_body"),
        *("peer", "protocol", "response_complete", "started_s", "url"),
    )
    message_event = _NoEvent()

    def __init__(
        self, protocol: FastPathProtocol, code: str, fields: Mapping[bytes, bytes]
    ) -> None:
        self.protocol = protocol
        self.code = code
        self.fields = fields
        self.url = protocol.url
        self.headers: Headers = protocol.headers
        self.peer: Peer = protocol.client
        self.started_s = time.perf_counter()
        self.keep_alive = protocol.parser.should_keep_alive() and not protocol.is_ending
        self.response_complete = False
        self.disconnected = False
        self.more_body = True
        self.body = b""

    def answer(self, status: bytes, headers: bytes) -> None:
        """Send a whole response without a body: status line and header lines."""
        protocol = self.protocol
        ending = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        answer = status + protocol.default_lines() + headers + ending
        if not self.disconnected:
            protocol.answers.add(protocol, answer, self.keep_alive)
        self.response_complete = True
        if self.keep_alive:
            protocol.on_response_complete()

    def hand_over(self, handed_over: object) -> None:
        """Pass the request to the ASGI app, with `handed_over` in the scope."""
        self.protocol.hand_over(self, handed_over)


class _Answers:
    """Responses of one turn of the event loop, sent together at its end.

    Sent one by one, each would wake its client at once, whose next request would then arrive by
    itself, too: at full load that costs as much as the response.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[FastPathProtocol, bytes, bool]] = []

    def add(self, protocol: FastPathProtocol, answer: bytes, keep_alive: bool) -> None:
        """Queue a response for the end of this turn."""
        if not self._waiting:
            protocol.loop.call_soon(self.send)
        self._waiting.append((protocol, answer, keep_alive))

    def send(self) -> None:
        """Send the queued responses; needed before a connection is closed."""
        waiting, self._waiting = self._waiting, []
        for protocol, answer, keep_alive in waiting:
            transport = protocol.transport
            if not transport.is_closing():
                transport.write(answer)
                if not keep_alive:
                    transport.close()


class FastPathProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with the fast path."""

    answers = _Answers()
    _rendered: tuple[object, bytes] = (None, b"")

    def __init__(self, fast_path: FastPath | None, drain_s: float, **given: Any) -> None:
        super().__init__(**given)
        self._drain_s = drain_s
        self.is_ending = False
        self._fast_path = fast_path
        self._in_head = False
        self._head_bytes = 0
        self._idle_since_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Parse, and limit the size and the time of the request headers."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                self._reject(Problem(431, f"the headers are longer than {HEAD_MAX_BYTES} bytes"))
            elif not self.transport.is_closing():
                later = self.loop.call_later(_HEAD_S, self.timeout_keep_alive_handler)
                self.timeout_keep_alive_task = later

    def send_400_response(self, _msg: str) -> None:
        """Respond to malformed HTTP with a problem document."""
        self._reject(_parse_problem(sys.exception()))

    def _reject(self, problem: Problem) -> None:
        self.answers.send()
        body = document(problem)
        lines = [b"%b: %b\r\n" % header for header in headers(problem, len(body))]
        self.transport.write(
            b"HTTP/1.1 %d %b\r\n" % (problem.status, problem.title.encode())
            + b"".join([self.default_lines(), *lines, b"connection: close\r\n\r\n", body])
        )
        self.transport.close()
        self._in_head = False

    def on_message_begin(self) -> None:
        """Reset the state, without a scope: most requests never need one."""
        self._in_head = True
        self._head_bytes = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; `on_headers_complete` reads them."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the fast path for a plain GET of a link, else uvicorn's."""
        self._in_head = False
        fields = dict(self.headers)
        before = self.cycle
        if (
            self._fast_path is not None
            and (before is None or before.response_complete)  # else it is pipelined
            and self.parser.get_method() == b"GET"
            and (link := _LINK.fullmatch(self.url)) is not None
            and b"expect" not in fields
            and b"upgrade" not in fields
            and self.parser.get_http_version() == "1.1"
            and self._fast_path.accepts(code := link[1].decode("ascii"))
        ):
            self.cycle = exchange = FastPathExchange(self, code, fields)  # type: ignore[assignment]
            self._fast_path.handle(exchange)
        else:
            self.expect_100_continue = fields.get(b"expect", b"").lower() == b"100-continue"
            self.scope = self._scope(self.headers)
            super().on_headers_complete()
            self.cycle.keep_alive &= not self.is_ending

    def _scope(self, headers: Headers) -> Any:
        """A new scope from uvicorn, without a change to the parser's state."""
        parsing = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = parsing
        return {**self.scope, "headers": headers}

    def hand_over(self, exchange: FastPathExchange, handed_over: object) -> None:
        """Start an ASGI cycle for an exchange, as uvicorn would have."""
        raw_path, _, query = exchange.url.partition(b"?")
        scope = self._scope(exchange.headers)
        scope |= {"method": "GET", "path": f"/{exchange.code}", "raw_path": raw_path}
        scope |= {"query_string": query, HANDED_OVER: handed_over}
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=exchange.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.body, cycle.more_body = bytearray(exchange.body), exchange.more_body
        cycle.disconnected = exchange.disconnected
        if self.cycle is exchange:  # type: ignore[comparison-overlap]
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def on_response_complete(self) -> None:
        """Continue as uvicorn does, but with one keep-alive timer a connection, not a response."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since_s = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._check_idle)

    def _check_idle(self) -> None:
        """Close the connection if it has been idle for too long, else check again later."""
        left_s = float(self.timeout_keep_alive)
        if self.cycle.response_complete and not self._in_head:
            left_s -= self.loop.time() - self._idle_since_s
        if left_s > 0:
            self._idle_timer = self.loop.call_later(left_s, self._check_idle)
        else:
            self.answers.send()
            self.transport.close()

    def shutdown(self) -> None:
        """Close the connection after the current response, or after one more.

        An idle connection stays open for `drain_s`, since a balancer may be about to use it; the
        next response has `connection: close`.
        """
        self.is_ending = True
        if self.cycle is not None and not self.cycle.response_complete:
            super().shutdown()
        else:
            self.loop.call_later(self._drain_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self.answers.send()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection and its timers."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def default_lines(self) -> bytes:
        """Header lines of every response; they change once a second, with the date."""
        headers = self.server_state.default_headers
        of, lines = FastPathProtocol._rendered
        if of is not headers:
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            FastPathProtocol._rendered = (headers, lines)
        return lines


def _parse_problem(error: BaseException | None) -> Problem:
    """The problem behind an error of the parser."""
    if isinstance(error, httptools.HttpParserInvalidURLError):
        detail = "the address has a character that must be percent-encoded, as %C3%BC for U+00FC"
        return Problem(400, detail)
    if _OTHER_VERSION.search(str(error)):
        return Problem(505, "only HTTP/1.1 and HTTP/1.0 are supported")
    return Problem(400, "this is not a valid HTTP/1.1 request")


def protocol(fast_path: FastPath | None, drain_s: float = 0.0) -> type[asyncio.Protocol]:
    """Uvicorn's protocol class with this fast path; `drain_s` as in `shutdown`."""

    class Protocol(FastPathProtocol):
        def __init__(self, **given: Any) -> None:
            super().__init__(fast_path, drain_s, **given)

    return Protocol
