"""Entries that the cache gives out after their time to live, with a stand-in for Redis."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest

from stack.shortener.redirect.cache import Cache
from stack.shortener.redirect.cache_entry import ABSENT, LIVE, CacheEntry
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.settings import WebSettings
from tests.support.fake_links import ADDRESSES

WINDOW_S = 10.0


class FakeRedis:
    """Holds one value; every lock is free."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def register_script(self, _text: str) -> None: ...

    def pipeline(self, *, transaction: bool) -> FakeRedis:
        assert not transaction
        return self

    def set(self, *_: object, **__: object) -> None: ...

    def get(self, _key: str) -> None: ...

    async def execute(self) -> tuple[bool, bytes]:
        return True, self._value

    async def aclose(self) -> None: ...


def given_out(state: int, expired_for_s: float) -> bool:
    """Return True if a reader gets an entry that was fresh until then."""
    fresh_until = time.time() - expired_for_s
    entry = CacheEntry(1, state, math.inf, 0.0, 0.1, fresh_until, b"https://example.org/")

    async def main() -> bool:
        redis: Any = FakeRedis(entry.pack())
        cache = Cache(redis, NearCache(0, 1), WebSettings(**ADDRESSES), WINDOW_S)
        _, read = await cache.lock("code", "token")
        await cache.close()
        return read is not None

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("state", "expired_for_s", "is_given_out"),
    [
        (LIVE, -1.0, True),
        (LIVE, WINDOW_S - 1, True),
        (LIVE, WINDOW_S + 1, False),
        (ABSENT, -1.0, True),
        (ABSENT, 0.001, False),  # Redis drops it a moment later
    ],
)
def test_a_link_has_a_stale_window_and_a_missing_link_has_none(
    state: int, expired_for_s: float, is_given_out: bool
) -> None:
    assert given_out(state, expired_for_s) == is_given_out
