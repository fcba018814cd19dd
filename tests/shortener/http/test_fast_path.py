"""The fast path: raw HTTP from a socket, with a stand-in for the cache."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from stack.shortener.http import asgi
from stack.shortener.http.fast_path import HANDED_OVER, FastPathExchange, FastPathProtocol, protocol

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"content-length: 0\r\n"


class Socket(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Waiting:
    """A fast path in which every link waits until the test says more, but `docs` is no link."""

    def __init__(self) -> None:
        self.exchanges: list[FastPathExchange] = []

    def accepts(self, code: str) -> bool:
        return code != "docs"

    def handle(self, exchange: FastPathExchange) -> None:
        self.exchanges.append(exchange)

    def answer(self) -> None:
        exchange = self.exchanges.pop(0)
        exchange.answer(OK, LENGTH + b"x-code: %b\r\n" % exchange.code.encode())


async def app(scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    line = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}"
    await asgi.text(send, 200, f"{line} {scope.get(HANDED_OVER)}".encode())


def request(path: str, *more: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: a.example", *more, "", ""]
    return "\r\n".join(lines).encode()


class Connection:
    """One connection to a server that has only this one."""

    def __init__(self) -> None:
        self.fast_path = Waiting()
        self.socket = Socket()
        config = uvicorn.Config(app, http=protocol(self.fast_path), ws="none", log_config=None)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        made: Any = protocol(self.fast_path)
        self.protocol: FastPathProtocol = made(config=config, server_state=state, app_state={})
        self.protocol.connection_made(self.socket)

    def send(self, *requests: bytes) -> None:
        for data in requests:
            self.protocol.data_received(data)

    async def answer(self) -> None:
        """Answer the first that waits on the fast path; responses are sent at the end of a turn."""
        self.fast_path.answer()
        await asyncio.sleep(0.001)

    async def bodies(self) -> list[str]:
        """The bodies of all answers so far, once the app has had its turns."""
        await asyncio.sleep(0.02)
        answers = self.socket.sent.split(b"HTTP/1.1 200 OK\r\n")[1:]
        return [answer.partition(b"\r\n\r\n")[2].decode() for answer in answers]


def connected(test: Callable[[Connection], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        connection = Connection()
        await test(connection)
        connection.protocol.connection_lost(None)

    asyncio.run(main())


def test_a_link_is_answered_in_the_lane_and_the_connection_stays() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc"))
        await connection.answer()
        sent = b"date: today\r\ncontent-length: 0\r\nx-code: abc\r\n\r\n"
        assert connection.socket.sent == OK + sent
        connection.send(request("/abd?utm_source=x"))
        await connection.answer()
        assert connection.socket.sent.endswith(b"x-code: abd\r\n\r\n")
        assert not connection.socket.closed

    connected(test)


@pytest.mark.parametrize("path", ["/abc/", "/abc/?utm_source=x", "/abc?" + "q" * 8_000])
def test_a_slash_or_a_query_behind_a_code_changes_nothing(path: str) -> None:
    async def test(connection: Connection) -> None:
        connection.send(request(path))
        await connection.answer()
        assert connection.socket.sent.endswith(b"x-code: abc\r\n\r\n")

    connected(test)


def test_a_code_is_taken_letter_by_letter() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/aBc"))
        await connection.answer()
        assert b"x-code: aBc\r\n" in connection.socket.sent

    connected(test)


def test_answers_of_one_turn_are_sent_together_at_its_end() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc"))
        connection.fast_path.answer()
        assert connection.socket.sent == b""
        await asyncio.sleep(0.001)
        assert connection.socket.sent.count(OK) == 1

    connected(test)


def test_a_request_to_close_the_connection_closes_it() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc", "Connection: close"))
        await connection.answer()
        assert connection.socket.sent.endswith(b"connection: close\r\n\r\n")
        assert connection.socket.closed

    connected(test)


def test_what_is_no_plain_get_of_a_link_goes_to_the_app() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc", method="HEAD"))
        await asyncio.sleep(0.01)
        for data in (
            request("/abc", "Content-Length: 0", method="POST"),
            request("/docs"),
            request("/api/links"),
            request("/a%20b"),
            request("/abc."),
            request("/abc//"),
            request("/abc?" + "q" * 8_200),
            request("/abc", "Expect: 100-continue"),
        ):
            connection.send(data)
            await asyncio.sleep(0.01)
        assert not connection.fast_path.exchanges
        assert await connection.bodies() == [
            "",
            "POST /abc? None",
            "GET /docs? None",
            "GET /api/links? None",
            "GET /a b? None",
            "GET /abc.? None",
            "GET /abc//? None",
            f"GET /abc?{'q' * 8_200} None",
            "GET /abc? None",
        ]

    connected(test)


def test_an_old_client_goes_to_the_app() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc", version="1.0"))
        assert await connection.bodies() == ["GET /abc? None"]
        assert connection.socket.closed

    connected(test)


def test_what_the_lane_hands_over_the_app_answers_with_what_is_known() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc?a=b"))
        connection.fast_path.exchanges.pop().hand_over("known")
        assert await connection.bodies() == ["GET /abc?a=b known"]
        assert not connection.socket.closed

    connected(test)


def test_pipelined_requests_are_answered_in_order_whichever_way_they_take() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/a") + request("/api/b") + request("/c") + request("/api/d")[:20])
        assert await connection.bodies() == []
        connection.fast_path.exchanges.pop().hand_over("late")
        connection.send(request("/api/d")[20:])
        assert await connection.bodies() == [
            "GET /a? late",
            "GET /api/b? None",
            "GET /c? None",
            "GET /api/d? None",
        ]

    connected(test)


def test_a_body_that_a_get_brings_along_is_no_part_of_the_next_request() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc", "Content-Length: 4") + b"GET ")
        await connection.answer()
        connection.send(request("/abd"))
        await connection.answer()
        assert connection.socket.sent.count(OK) == 2

    connected(test)


def test_an_answer_to_who_has_gone_goes_nowhere() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc"))
        connection.protocol.connection_lost(None)
        await connection.answer()
        assert connection.socket.sent == b""

    connected(test)


def test_a_stop_waits_for_an_answer_in_the_lane_and_closes_behind_it() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc"))
        connection.protocol.shutdown()
        assert not connection.socket.closed
        await connection.answer()
        assert connection.socket.sent.endswith(b"connection: close\r\n\r\n")
        assert connection.socket.closed

    connected(test)


@pytest.mark.parametrize("path", ["/abc", "/api/links"])
def test_a_request_that_was_on_its_way_at_the_stop_is_still_answered(path: str) -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc"))
        await connection.answer()
        connection.protocol.shutdown()
        assert not connection.socket.closed
        connection.send(request(path))
        if connection.fast_path.exchanges:
            await connection.answer()
        await asyncio.sleep(0.02)
        assert connection.socket.sent.count(OK) == 2
        assert b"connection: close\r\n" in connection.socket.sent
        assert connection.socket.closed

    connected(test)


def test_an_idle_connection_is_closed_soon_after_the_stop() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc"))
        await connection.answer()
        connection.protocol.shutdown()
        await asyncio.sleep(0.2)
        assert connection.socket.closed

    connected(test)


def test_half_a_request_behind_a_whole_one_leaves_one_timer_and_is_waited_for() -> None:
    async def test(connection: Connection) -> None:
        ended: list[int] = []

        class Timer:
            def __init__(self, number: int) -> None:
                self.number = number

            def cancel(self) -> None:
                ended.append(self.number)

        armed: list[float] = []

        class Loop:
            call_soon = asyncio.get_running_loop().call_soon

            def time(self) -> float:
                return 0.0

            def call_later(self, delay_s: float, *_: Any) -> Timer:
                armed.append(delay_s)
                return Timer(len(armed))

        connection.fast_path.handle = lambda exchange: exchange.answer(OK, LENGTH)  # type: ignore[method-assign]
        connection.protocol.loop = Loop()  # type: ignore[assignment]
        connection.send(request("/a") + request("/b")[:10])
        connection.send(request("/b")[10:])
        await asyncio.sleep(0.001)
        assert connection.socket.sent.count(OK) == 2
        assert armed == [5, 10]  # for an idle connection, and for half a head
        assert ended == [2]

    connected(test)


def test_a_connection_is_closed_when_it_was_idle_for_long_and_not_before() -> None:
    async def test(connection: Connection) -> None:
        connection.protocol.timeout_keep_alive = 1
        for _ in range(4):
            connection.send(request("/abc"))
            await asyncio.sleep(0.4)
            await connection.answer()
            assert not connection.socket.closed
        await asyncio.sleep(0.3)
        assert not connection.socket.closed
        await asyncio.sleep(1.2)
        assert connection.socket.closed

    connected(test)


def test_what_is_not_http_gets_a_problem_document() -> None:
    async def test(connection: Connection) -> None:
        connection.send(b"hello\r\n\r\n")
        head, _, body = connection.socket.sent.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"content-type: application/problem+json" in head
        assert json.loads(body)["status"] == 400
        assert connection.socket.closed

    connected(test)


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (b"GET /abc?q=\xc3\xbc HTTP/1.1", 400, "percent-encoded"),
        (b"GET /\xff HTTP/1.1", 400, "percent-encoded"),
        (b"GET /abc?q=\x7f HTTP/1.1", 400, "percent-encoded"),
        (b"GET /abc HTTP/3.0", 505, "only HTTP/1.1"),
        (b"GET /abc HTTP/1.1\r\nContent-Length: x", 400, "not a valid HTTP/1.1 request"),
    ],
)
def test_what_is_wrong_with_a_request_line_is_said(line: bytes, status: int, said: str) -> None:
    async def test(connection: Connection) -> None:
        connection.send(line + b"\r\n\r\n")
        head, _, body = connection.socket.sent.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert said in json.loads(body)["detail"]
        assert connection.socket.closed

    connected(test)


def test_what_is_not_http_behind_a_link_does_not_take_its_answer_away() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc"))
        connection.fast_path.answer()
        connection.send(b"hello\r\n\r\n")
        assert connection.socket.sent.startswith(OK)
        assert b"x-code: abc\r\n\r\nHTTP/1.1 400 Bad Request\r\n" in connection.socket.sent
        assert connection.socket.closed

    connected(test)


def test_a_head_without_end_is_refused() -> None:
    async def test(connection: Connection) -> None:
        connection.send(request("/abc")[:-2])
        for number in range(40):
            connection.send(f"x-{number}: {'x' * 1000}\r\n".encode())
            if connection.socket.closed:
                break
        assert connection.socket.sent.startswith(b"HTTP/1.1 431 ")
        assert number < 35
        assert connection.socket.closed

    connected(test)
