"""Reads of many keys from Redis, pipelined over one connection: MGET, and nothing around it.

What redis-py does around a command (a task, a retry, a pool, events) costs several times the
command itself, and the redirect needs none of it. Commands are written as they come, answers come
back in the same order, and each goes to whoever waits longest. The connection is dropped as soon as
one answer is late: on a new one there is nothing half written and nothing half read, so an answer
can never go to the wrong question.
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
_LARGEST_KEPT = 64 * 1024  # of the parser's buffer: one large answer must not stay in memory


class CacheUnavailable(Exception):
    """Redis did not answer in time, or not at all."""


Told = Callable[[Values | CacheUnavailable], None]


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis is, and what a connection to it begins with."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    greeting: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, url: str) -> RedisAddress:
        """The server that a redis:// or rediss:// URL names, with user, password and database."""
        given: dict[str, Any] = dict(parse_url(url))
        greeting: list[tuple[str, ...]] = []
        if "password" in given:
            user = [given["username"]] if "username" in given else []
            greeting.append(("AUTH", *user, given["password"]))
        if given.get("db"):
            greeting.append(("SELECT", str(given["db"])))
        tls = _tls(given) if "connection_class" in given else None
        host, port = given.get("host", "localhost"), int(given.get("port", 6379))
        return cls(host, port, tls, (*greeting, ("PING",)))


def _tls(given: dict[str, Any]) -> ssl.SSLContext:
    """As redis-py has it: with certificate and name checked unless the URL says otherwise."""
    options: dict[str, Any] = {"cert_reqs": "required", "check_hostname": True}
    options |= {key.removeprefix("ssl_"): given[key] for key in given if key.startswith("ssl_")}
    return RedisSSLContext(**options).get()


class _Waiting(NamedTuple):
    """Somebody who waits for an answer, and until when."""

    told: Told
    until_s: float


class _Connection(asyncio.Protocol):
    """One connection; whoever waits is told what comes back, or that it is gone."""

    def __init__(self, timeout_s: float, breaker: Breaker) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.gone = False
        self._timeout_s = timeout_s
        self._breaker = breaker
        self._loop = asyncio.get_running_loop()
        self._parser = hiredis.Reader()
        self._parser.setmaxbuf(_LARGEST_KEPT)
        self._timer: asyncio.TimerHandle | None = None
        self._why = "the connection to the cache was lost"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def ask(self, command: tuple[str, ...], told: Told) -> None:
        """Send a command; its answer must come within the timeout."""
        until_s = self._loop.time() + self._timeout_s
        self.waiting.append(_Waiting(told, until_s))
        if self._timer is None:
            self._timer = self._loop.call_at(until_s, self._look_at_the_clock)
        self._transport.write(_pack(command))

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            while (answer := self._parser.gets()) is not False:  # `False`: not all of it is here
                self._pass_on(answer)
        except hiredis.ProtocolError as error:
            self.drop(f"the cache does not speak the protocol: {error}")

    def _pass_on(self, answer: Any) -> None:
        if not self.waiting:
            self.drop("the cache said something that nobody had asked for")
        elif isinstance(answer, Exception):
            self._breaker.failed(str(answer))
            self.waiting.popleft().told(CacheUnavailable(str(answer)))
        else:
            self._breaker.succeeded()
            self.waiting.popleft().told(answer)

    def _look_at_the_clock(self) -> None:
        """Drop the connection if the oldest question is late, or else look again when it is."""
        self._timer = None
        if not self.waiting:
            return
        until_s = self.waiting[0].until_s
        if until_s <= self._loop.time():
            self.drop(f"the cache did not answer within {self._timeout_s:g} s")
        else:
            self._timer = self._loop.call_at(until_s, self._look_at_the_clock)

    def drop(self, why: str) -> None:
        """Close the connection at once, and say why to all who wait."""
        self._why = why
        self._transport.abort()
        self._tell_all()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tell_all()

    def _tell_all(self) -> None:
        self.gone = True
        waiting, self.waiting = self.waiting, deque()
        for each in waiting:
            self._breaker.failed(self._why)
            each.told(CacheUnavailable(self._why))


class RedisReader:
    """Reads keys, without retries; reads while it is connecting wait for that, in time.

    While the breaker is open every read fails at once.
    """

    def __init__(self, url: str, timeout_s: float, failures: int, pause_s: float) -> None:
        self.breaker = Breaker("cache", failures, pause_s, self.connect)
        self._server = RedisAddress.of(url)
        self._timeout_s = timeout_s
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._queued: list[tuple[tuple[str, ...], Told]] = []

    def mget(self, keys: Sequence[str], told: Told) -> None:
        """Ask for the values of these keys; `told` is called once, now or later."""
        connection = self._connection
        if not self.breaker.is_closed:
            told(CacheUnavailable("the cache is down, and is left alone for a moment"))
        elif connection is not None and not connection.gone:
            connection.ask(("MGET", *keys), told)
        else:
            self._queued.append((("MGET", *keys), told))
            if self._connecting is None:
                connecting = self._connect_for_them()
                loop = asyncio.get_running_loop()
                self._connecting = loop.create_task(connecting, context=Context())

    async def _connect_for_them(self) -> None:
        """Connect, and then ask for all who came meanwhile; or tell them that it is not so."""
        trouble = CacheUnavailable("the connection to the cache was lost")
        try:
            await self.connect()
        except CacheUnavailable as error:
            trouble = error
        finally:
            self._connecting = None
            queued, self._queued = self._queued, []
            connection = self._connection
            for command, told in queued:
                if connection is None or connection.gone:
                    self.breaker.failed(str(trouble))
                    told(trouble)
                else:
                    connection.ask(command, told)

    async def connect(self) -> None:
        """Connect anew, and greet; raises `CacheUnavailable` if that takes too long."""
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
        await _greet(connection, server.greeting)
        self._connection = connection

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None and not self._connection.gone:
            self._connection.drop("the connection to the cache was closed")
        self._connection = None


async def _greet(connection: _Connection, greeting: Sequence[tuple[str, ...]]) -> None:
    """Send all the commands at once; the first that goes wrong is the error."""
    loop = asyncio.get_running_loop()
    answers = [loop.create_future() for _ in greeting]
    for command, answer in zip(greeting, answers, strict=True):
        connection.ask(command, answer.set_result)
    for said in await asyncio.gather(*answers):
        if isinstance(said, CacheUnavailable):
            connection.drop(str(said))
            raise said
