"""Pipelined reads against a scripted Redis server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import hiredis
import pytest

from stack.shortener.infra.breaker import BreakerState
from stack.shortener.redirect.redis_reader import (
    CacheUnavailable,
    RedisAddress,
    RedisReader,
    Values,
)

TIMEOUT_S, PAUSE_S = 0.5, 0.15


@dataclass
class Redis:
    """Answers a key with itself; `silent` it says nothing, `half` it falls silent midway."""

    port: int = 0
    silent: bool = False
    half: bool = False
    refusal: bytes = b""
    heard: list[list[bytes]] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        parser = hiredis.Reader()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    self.heard.append(command)
                    self._answer(command, writer)
        writer.close()

    def _answer(self, command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if self.silent:
            return
        if command[0] != b"MGET":
            writer.write(self.refusal or b"+OK\r\n")
            return
        said = b"".join(b"$%d\r\n%b\r\n" % (len(key), key) for key in command[1:])
        answer = b"*%d\r\n%b" % (len(command) - 1, said)
        writer.write(self.refusal or (answer[:-4] if self.half else answer))
        self.silent = self.half


@asynccontextmanager
async def redis(**given: Any) -> AsyncIterator[tuple[Redis, RedisReader]]:
    served = Redis(**given)
    server = await asyncio.start_server(served.serve, "127.0.0.1", served.port)
    served.port = server.sockets[0].getsockname()[1]
    reader = RedisReader(
        f"redis://127.0.0.1:{served.port}/0", TIMEOUT_S, failures=3, pause_s=PAUSE_S
    )
    try:
        yield served, reader
    finally:
        await reader.breaker.close()
        await reader.close()
        server.close()


def ask(reader: RedisReader, *keys: str) -> asyncio.Future[Values | CacheUnavailable]:
    future = asyncio.get_running_loop().create_future()
    reader.mget(keys, future.set_result)  # which raises if it is told twice
    return future


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), timeout=10))


def test_each_question_gets_its_own_answer_over_one_connection() -> None:
    async def test() -> None:
        async with redis() as (served, reader):
            for _ in range(3):
                answers = await asyncio.gather(*(ask(reader, f"k{n}", "x") for n in range(100)))
                assert answers == [[b"k%d" % n, b"x"] for n in range(100)]
            assert served.connections == 1

    run(test)


def test_an_answer_that_is_late_or_half_never_goes_to_the_next_question() -> None:
    async def test() -> None:
        async with redis() as (served, reader):
            assert await ask(reader, "first") == [b"first"]
            served.half = True
            late = [ask(reader, "second"), ask(reader, "third")]
            assert all(
                isinstance(answer, CacheUnavailable) for answer in await asyncio.gather(*late)
            )
            served.half = served.silent = False
            assert await ask(reader, "fourth") == [b"fourth"]
            assert served.connections == 2

    run(test)


def test_a_silent_server_costs_one_timeout_and_then_nothing_until_it_is_back() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with redis() as (served, reader):
            await ask(reader, "k")
            served.silent = True
            began_s = loop.time()
            waited = await asyncio.gather(*(ask(reader, "k") for _ in range(5)))
            assert all(isinstance(answer, CacheUnavailable) for answer in waited)
            assert TIMEOUT_S * 0.9 < loop.time() - began_s < TIMEOUT_S * 3
            assert reader.breaker.state is BreakerState.OPEN
            began_s = loop.time()
            for _ in range(1000):
                assert isinstance(await ask(reader, "k"), CacheUnavailable)
            assert loop.time() - began_s < TIMEOUT_S
            served.silent = False
            while not reader.breaker.is_closed:
                await asyncio.sleep(0.01)
            assert await ask(reader, "k") == [b"k"]

    run(test)


def test_a_server_that_is_not_there_fails_reads_at_once_and_is_found_when_it_comes() -> None:
    async def test() -> None:
        async with redis() as (served, _):
            port = served.port
        reader = RedisReader(f"redis://127.0.0.1:{port}/0", TIMEOUT_S, failures=3, pause_s=PAUSE_S)
        for _ in range(5):
            assert isinstance(await ask(reader, "k"), CacheUnavailable)
        assert not reader.breaker.is_closed
        async with redis(port=port):
            while not reader.breaker.is_closed:
                await asyncio.sleep(0.01)
            assert await ask(reader, "k") == [b"k"]
            await reader.close()

    run(test)


def test_a_restart_of_the_server_costs_the_reads_that_were_under_way_and_no_more() -> None:
    async def test() -> None:
        async with redis() as (served, reader):
            await ask(reader, "k")
            port = served.port
            await reader.close()  # as the server would
        async with redis(port=port):
            assert await ask(reader, "k") == [b"k"]
            await reader.close()

    run(test)


@pytest.mark.parametrize("said", [b"-LOADING not yet\r\n", b"-NOAUTH who are you\r\n"])
def test_an_error_is_no_answer(said: bytes) -> None:
    async def test() -> None:
        async with redis(refusal=said) as (_, reader):
            answer = await ask(reader, "k")
            assert isinstance(answer, CacheUnavailable)
            assert str(answer) == said[1:-2].decode()

    run(test)


@pytest.mark.parametrize("said", [b"?\r\n", b"+OK\r\n+OK\r\n"])
def test_a_malformed_or_unexpected_reply_ends_the_connection(said: bytes) -> None:
    async def test() -> None:
        async with redis() as (served, reader):
            await ask(reader, "k")
            served.refusal = said
            await ask(reader, "k")
            await asyncio.sleep(0.1)
            served.refusal = b""
            assert await ask(reader, "k") == [b"k"]
            assert served.connections == 2

    run(test)


def test_a_connection_begins_with_what_is_in_the_url() -> None:
    async def test() -> None:
        async with redis() as (served, _):
            url = f"redis://me:s%20t@127.0.0.1:{served.port}/3"
            reader = RedisReader(url, TIMEOUT_S, failures=3, pause_s=PAUSE_S)
            await ask(reader, "k")
            assert served.heard == [
                [b"AUTH", b"me", b"s t"],
                [b"SELECT", b"3"],
                [b"PING"],
                [b"MGET", b"k"],
            ]
            await reader.close()

    run(test)


def test_a_url_is_read_as_redis_py_reads_it() -> None:
    assert RedisAddress.of("redis://:pass@cache").handshake == (("AUTH", "pass"), ("PING",))
    plain = RedisAddress.of("redis://cache")
    assert (plain.host, plain.port, plain.tls, plain.handshake) == (
        "cache",
        6379,
        None,
        (("PING",),),
    )


def test_tls_checks_certificate_and_name_unless_the_url_turns_it_off() -> None:
    strict = RedisAddress.of("rediss://cache:6380/0").tls
    assert strict is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    loose = RedisAddress.of("rediss://cache?ssl_cert_reqs=none&ssl_check_hostname=false").tls
    assert loose is not None
    assert (loose.verify_mode, loose.check_hostname) == (ssl.CERT_NONE, False)
