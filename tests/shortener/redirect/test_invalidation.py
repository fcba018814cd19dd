"""What a change sends to the cache, by setting, with a stand-in for Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from stack.shortener.redirect.cache import Cache, CacheUnavailable
from stack.shortener.redirect.cache_entry import LIVE, CacheEntry
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.settings import WebSettings
from tests.support.fake_links import ADDRESSES

SECOND_S = 0.05
ENTRY = CacheEntry(1, LIVE, math.inf, 0.0, 0.1, math.inf, b"https://example.org/")
VALUE, LOCK, FLOOR = "link:1:code", "lock:1:code", "floor:1:code"


class FakeRedis:
    """Records the keys of commands and scripts; the first `failures` of them fail."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[tuple[str, ...]] = []
        self._failures = failures

    def register_script(self, _text: str) -> Any:
        async def run(keys: Sequence[str], **_: object) -> bytes:
            return self._take("script", *keys)

        return run

    async def delete(self, *keys: str) -> None:
        self._take("delete", *keys)

    def _take(self, *command: str) -> bytes:
        self.sent.append(command)
        if self._failures:
            self._failures -= 1
            raise RedisConnectionError("down")
        return b"stored"

    async def aclose(self) -> None: ...


def sent(mode: str, fill: str = "swr", *, failures: int = 0, wait_s: float = 0.0) -> FakeRedis:
    """Invalidate a link, and return what Redis was sent within `wait_s`."""
    redis: Any = FakeRedis(failures)
    settings = WebSettings(**given(mode, fill))

    async def main() -> None:
        cache = Cache(redis, NearCache(0, 1), settings, 0.0)
        if failures:
            with pytest.raises(CacheUnavailable):
                await cache.invalidate("code", 2)
        else:
            await cache.invalidate("code", 2)
        await asyncio.sleep(wait_s)
        await cache.close()
        await asyncio.sleep(2 * SECOND_S)

    asyncio.run(main())
    assert isinstance(redis, FakeRedis)
    return redis


def given(mode: str, fill: str = "swr") -> Any:
    chosen = {"cache_invalidation": mode, "cache_fill": fill, "cache_second_delete_s": SECOND_S}
    return {**ADDRESSES, **chosen}


def test_by_default_a_change_sets_the_floor_and_deletes_value_and_fill() -> None:
    assert WebSettings.model_fields["cache_invalidation"].default == "delete-with-floor"
    assert sent("delete-with-floor").sent == [("script", VALUE, LOCK, FLOOR)]


@pytest.mark.parametrize(
    ("mode", "fill", "commands"),
    [
        ("none", "swr", []),
        ("none", "lease", []),
        ("delete", "swr", [("delete", VALUE)]),
        ("delete", "lock", [("delete", VALUE)]),
        ("delete", "lease", [("delete", VALUE, LOCK)]),
        ("double-delete", "swr", [("delete", VALUE)] * 2),
    ],
)
def test_naive_changes_delete_or_do_nothing(
    mode: str, fill: str, commands: list[tuple[str, ...]]
) -> None:
    assert sent(mode, fill, wait_s=2 * SECOND_S).sent == commands


def test_a_second_delete_is_not_made_early_nor_by_a_process_that_has_ended() -> None:
    assert len(sent("double-delete").sent) == 1


def test_a_delete_that_failed_is_sent_again() -> None:
    assert sent("delete", failures=1, wait_s=0.05).sent == [("delete", VALUE)] * 2


@pytest.mark.parametrize("mode", ["delete-with-floor", "none", "delete", "double-delete"])
def test_only_the_default_looks_at_a_floor_when_it_stores(mode: str) -> None:
    redis: Any = FakeRedis()

    async def main() -> None:
        cache = Cache(redis, NearCache(0, 1), WebSettings(**given(mode)), 0.0)
        await cache.store("code", ENTRY)

    asyncio.run(main())
    assert redis.sent == [
        ("script", VALUE, LOCK, *([FLOOR] if mode == "delete-with-floor" else []))
    ]


@pytest.mark.parametrize("mode", ["delete-with-floor", "none", "delete", "double-delete"])
def test_the_process_that_made_the_change_drops_its_own_copy_as_well(mode: str) -> None:
    redis: Any = FakeRedis()

    async def main() -> CacheEntry | None:
        near = NearCache(60, 10)
        cache = Cache(redis, near, WebSettings(**given(mode)), 0.0)
        near.keep("code", ENTRY, 0.0)
        await cache.invalidate("code", 2)
        await cache.close()
        return near.get("code", 1.0)

    assert asyncio.run(main()) == (ENTRY if mode == "none" else None)
