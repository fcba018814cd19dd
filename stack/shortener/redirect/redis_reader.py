"""Pipelined MGETs over one connection to Redis, without retries or a pool.

The work of redis-py around a command (a task, a retry, a pool, events) costs several times the
command itself, and a redirect needs none of it. Commands are written as they come, and replies
arrive in the same order. The connection is dropped as soon as one reply is late: a new one has
nothing half written or half read, so a reply cannot be matched to the wrong command.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, NamedTuple

import hiredis
from redis.asyncio.connection import RedisSSLContext, parse_url

from stack.shortener.infra.breaker import Breaker

Values = Sequence[bytes | None]
_pack: Callable[[tuple[str, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
_LARGEST_KEPT = 64 * 1024  # of the parser's buffer: one large reply must not stay in memory


class CacheUnavailable(Exception):
    """Redis did not answer in time, or not at all."""


OnValues = Callable[[Values | CacheUnavailable], None]


@dataclass(frozen=True)
class RedisAddress:
    """Address of a Redis server, and the commands that open a connection to it."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    handshake: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, url: str) -> RedisAddress:
        """Parse a redis:// or rediss:// URL, with user, password and database."""
        given: dict[str, Any] = dict(parse_url(url))
        handshake: list[tuple[str, ...]] = []
        if "password" in given:
            user = [given["username"]] if "username" in given else []
            handshake.append(("AUTH", *user, given["password"]))
        if given.get("db"):
            handshake.append(("SELECT", str(given["db"])))
        tls = _tls(given) if "connection_class" in given else None
        host, port = given.get("host", "localhost"), int(given.get("port", 6379))
        return cls(host, port, tls, (*handshake, ("PING",)))


def _tls(given: dict[str, Any]) -> ssl.SSLContext:
    """TLS options as in redis-py: certificate and name are checked unless the URL turns it off."""
    options: dict[str, Any] = {"cert_reqs": "required", "check_hostname": True}
    options |= {key.removeprefix("ssl_"): given[key] for key in given if key.startswith("ssl_")}
    return RedisSSLContext(**options).get()


class _Waiting(NamedTuple):
    """A command in flight."""

    callback: OnValues
    deadline_s: float


class _Connection(asyncio.Protocol):
    """One connection; each callback gets its reply, or an error once the connection is lost."""

    def __init__(self, timeout_s: float, breaker: Breaker) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.gone = False
        self._timeout_s = timeout_s
        self._breaker = breaker
        self._loop = asyncio.get_running_loop()
        self._parser = hiredis.Reader()
        self._parser.setmaxbuf(_LARGEST_KEPT)
        self._timer: asyncio.TimerHandle | None = None
        self._reason = "the connection to the cache was lost"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def send(self, command: tuple[str, ...], callback: OnValues) -> None:
        """Send a command; its reply must arrive within the timeout."""
        deadline_s = self._loop.time() + self._timeout_s
        self.waiting.append(_Waiting(callback, deadline_s))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline_s, self._check_timeout)
        self._transport.write(_pack(command))

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            while (answer := self._parser.gets()) is not False:  # `False`: incomplete
                self._dispatch(answer)
        except hiredis.ProtocolError as error:
            self.drop(f"the cache broke the protocol: {error}")

    def _dispatch(self, answer: Any) -> None:
        if not self.waiting:
            self.drop("the cache sent an unexpected reply")
        elif isinstance(answer, Exception):
            self._breaker.failed(str(answer))
            self.waiting.popleft().callback(CacheUnavailable(str(answer)))
        else:
            self._breaker.succeeded()
            self.waiting.popleft().callback(answer)

    def _check_timeout(self) -> None:
        """Drop the connection if the oldest command is late, else check again at its deadline."""
        self._timer = None
        if not self.waiting:
            return
        deadline_s = self.waiting[0].deadline_s
        if deadline_s <= self._loop.time():
            self.drop(f"the cache did not answer within {self._timeout_s:g} s")
        else:
            self._timer = self._loop.call_at(deadline_s, self._check_timeout)

    def drop(self, reason: str) -> None:
        """Close the connection at once, and fail all commands in flight."""
        self._reason = reason
        self._transport.abort()
        self._fail_waiting()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fail_waiting()

    def _fail_waiting(self) -> None:
        self.gone = True
        waiting, self.waiting = self.waiting, deque()
        for each in waiting:
            self._breaker.failed(self._reason)
            each.callback(CacheUnavailable(self._reason))


class RedisReader:
    """Reads keys; queues reads while it connects, and rejects them while the breaker is open."""

    def __init__(self, url: str, timeout_s: float, failures: float, pause_s: float) -> None:
        self.breaker = Breaker("cache", failures, pause_s, self.connect)
        self._server = RedisAddress.of(url)
        self._timeout_s = timeout_s
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._queued: list[tuple[tuple[str, ...], OnValues]] = []

    def mget(self, keys: Sequence[str], callback: OnValues) -> None:
        """Read the values of these keys; `callback` is called once, now or later."""
        connection = self._connection
        if not self.breaker.is_closed:
            callback(CacheUnavailable("the cache is down: its breaker is open"))
        elif connection is not None and not connection.gone:
            connection.send(("MGET", *keys), callback)
        else:
            self._queued.append((("MGET", *keys), callback))
            if self._connecting is None:
                connecting = self._connect_queued()
                loop = asyncio.get_running_loop()
                self._connecting = loop.create_task(connecting, context=Context())

    async def _connect_queued(self) -> None:
        """Connect and send the queued commands, or fail them."""
        failure = CacheUnavailable("the connection to the cache was lost")
        try:
            await self.connect()
        except CacheUnavailable as error:
            failure = error
        finally:
            self._connecting = None
            queued, self._queued = self._queued, []
            connection = self._connection
            for command, callback in queued:
                if connection is None or connection.gone:
                    self.breaker.failed(str(failure))
                    callback(failure)
                else:
                    connection.send(command, callback)

    async def connect(self) -> None:
        """Reconnect, with handshake; raises `CacheUnavailable`."""
        await self.close()
        loop = asyncio.get_running_loop()
        server = self._server
        try:
            async with asyncio.timeout(self._timeout_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._timeout_s, self.breaker),
                    server.host,
                    server.port,
                    ssl=server.tls,
                )
        except (OSError, TimeoutError) as error:
            raise CacheUnavailable(f"cannot connect: {error!r}") from error
        await _shake_hands(connection, server.handshake)
        self._connection = connection

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None and not self._connection.gone:
            self._connection.drop("the connection to the cache was closed")
        self._connection = None


async def _shake_hands(connection: _Connection, handshake: Sequence[tuple[str, ...]]) -> None:
    """Send all the commands at once, and raise the first error."""
    loop = asyncio.get_running_loop()
    replies = [loop.create_future() for _ in handshake]
    for command, answer in zip(handshake, replies, strict=True):
        connection.send(command, answer.set_result)
    for reply in await asyncio.gather(*replies):
        if isinstance(reply, CacheUnavailable):
            connection.drop(str(reply))
            raise reply
