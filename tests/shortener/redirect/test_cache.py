"""Cache entries and batched reads, with a stand-in for Redis."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence

import pytest

from stack.shortener.redirect.batched_reads import BatchedReads, CacheRead
from stack.shortener.redirect.cache_entry import (
    ABSENT,
    DISABLED,
    LIMITED,
    LIVE,
    CacheEntry,
    absent,
    unpack,
)
from stack.shortener.redirect.redis_reader import CacheUnavailable, OnValues

ENTRY = CacheEntry(7, LIVE, 2000.0, 1000.0, 0.125, 1060.0, "https://example.org/ü".encode())


class Store:
    """Records reads; fails with `error`."""

    def __init__(self, values: dict[str, bytes], error: CacheUnavailable | None = None) -> None:
        self.values = values
        self.error = error
        self.asked: list[list[str]] = []

    def fetch(self, codes: Sequence[str], callback: OnValues) -> None:
        self.asked.append(list(codes))
        values = [self.values.get(code) for code in codes]
        asyncio.get_running_loop().call_soon(callback, self.error or values)


def merged(store: Store) -> BatchedReads:
    return BatchedReads(store.fetch, decode)


def decode(packed: bytes | None, read_s: float) -> CacheRead:
    return CacheRead(unpack(packed) if packed else None, read_s)


def test_an_entry_comes_back_as_it_was_packed() -> None:
    assert unpack(ENTRY.pack()) == ENTRY
    assert unpack(absent(5.0, 0.1).pack()) == absent(5.0, 0.1)


def test_lua_finds_version_and_freshness_where_it_looks() -> None:
    packed = ENTRY.pack()
    assert struct.unpack_from("<q", packed, 0) == (ENTRY.version,)
    assert struct.unpack_from("<d", packed, 34 - 1) == (ENTRY.fresh_until,)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"x",
        b"short of a head",
        ENTRY._replace(url=b"https://a.example/\r\nSet-Cookie: a").pack(),
    ],
)
def test_bytes_that_are_no_entry_count_as_nothing(packed: bytes) -> None:
    assert unpack(packed) is None


@pytest.mark.parametrize(
    ("state", "expires_at", "status"),
    [
        (LIVE, math.inf, 302),
        (LIVE, 1000.0, 410),
        (LIVE, 1000.1, 302),
        (LIMITED, math.inf, 302),
        (LIMITED, 1000.0, 410),
        (DISABLED, math.inf, 410),
        (ABSENT, math.inf, 404),
    ],
)
def test_the_status_follows_state_and_expiry(state: int, expires_at: float, status: int) -> None:
    assert ENTRY._replace(state=state, link_expires_at=expires_at).status(1000.0) == status


def test_reads_of_one_turn_become_one_command() -> None:
    store = Store({"a": ENTRY.pack()})

    async def read() -> list[CacheRead]:
        reads = merged(store)
        return await asyncio.gather(*(reads.get(code) for code in "abaab"))

    answers = asyncio.run(read())
    assert store.asked == [["a", "b"]]
    assert [read.entry for read in answers] == [ENTRY, None, ENTRY, ENTRY, None]
    assert len({read.read_s for read in answers}) == 1


def test_reads_of_a_later_turn_are_a_command_of_their_own() -> None:
    store = Store({})

    async def read() -> None:
        reads = merged(store)
        first = asyncio.ensure_future(reads.get("a"))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, reads.get("a"))

    asyncio.run(read())
    assert store.asked == [["a"], ["a"]]


def test_every_reader_gets_the_error_of_a_read() -> None:
    store = Store({}, error=CacheUnavailable("gone"))

    async def read() -> list[object]:
        reads = merged(store)
        waiting = [reads.get("a"), reads.get("b"), reads.get("a")]
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    assert all(isinstance(answer, CacheUnavailable) for answer in asyncio.run(read()))
