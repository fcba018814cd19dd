"""The race of a fill with a change, and what readers see after it, by setting."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import requests

from chaos.model.stack import Stack
from stack.shortener.infra.redis_client import connect
from stack.shortener.redirect.cache import Cache, StoreOutcome
from stack.shortener.redirect.cache_entry import LIVE, CacheEntry
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.settings import WebSettings
from tests.support.fake_links import ADDRESSES
from tests.support.patience import PATIENT
from tests.support.shortener_process import eventually
from tests.support.shortener_webs import OwnWeb, webs

pytestmark = pytest.mark.real

SECOND_S, TTL_S = 0.3, 3.0
OLD = CacheEntry(1, LIVE, math.inf, 0.0, 0.1, math.inf, b"https://example.org/1")
NEW = OLD._replace(version=2, url=b"https://example.org/2")
Race = tuple[StoreOutcome, list[int]]
MODES = ["delete-with-floor", "none", "delete", "double-delete"]


def raced(stack: Stack, mode: str, fill: str, leased: bool) -> Race:
    """Store what was read before a change after it; return what is then cached, now and later."""

    async def race(cache: Cache) -> Race:
        code = secrets.token_hex(8)
        token = secrets.token_hex(8) if leased else ""
        if leased:
            assert (await cache.lease(code, token))[0]
        await cache.invalidate(code, NEW.version)
        outcome = await cache.store(code, OLD, token)
        versions = [await version(cache, code)]
        await asyncio.sleep(2 * SECOND_S)
        versions.append(await version(cache, code))
        assert await cache.store(code, NEW) is StoreOutcome.STORED
        return outcome, versions

    return asyncio.run(with_cache(stack, mode, fill, race))


async def version(cache: Cache, code: str) -> int:
    """The cached version, or 0."""
    entry = (await cache.get(code)).entry
    return entry.version if entry else 0


async def with_cache(
    stack: Stack, mode: str, fill: str, use: Callable[[Cache], Awaitable[Race]]
) -> Race:
    url = stack.endpoints.redis
    given: Any = {**ADDRESSES, "cache_url": url, "cache_invalidation": mode, "cache_fill": fill}
    settings = WebSettings(
        **given, cache_timeout_s=2.0, fill_lock_ttl_s=10, cache_second_delete_s=SECOND_S
    )
    cache = Cache(connect(url, 2.0, 4), NearCache(0, 1), settings, 0.0)
    try:
        return await use(cache)
    finally:
        await cache.close()


@pytest.mark.parametrize(
    ("mode", "outcome", "versions"),
    [
        ("delete-with-floor", StoreOutcome.BEHIND, [0, 0]),
        ("none", StoreOutcome.STORED, [1, 1]),
        ("delete", StoreOutcome.STORED, [1, 1]),
        ("double-delete", StoreOutcome.STORED, [1, 0]),
    ],
)
def test_an_old_version_that_is_stored_late_stays_unless_a_floor_keeps_it_out(
    stack: Stack, mode: str, outcome: StoreOutcome, versions: list[int]
) -> None:
    assert raced(stack, mode, "swr", leased=False) == (outcome, versions)


@pytest.mark.parametrize("mode", ["delete-with-floor", "delete"])
def test_a_lease_is_void_after_the_delete(stack: Stack, mode: str) -> None:
    assert raced(stack, mode, "lease", leased=True) == (StoreOutcome.VOID, [0, 0])


@pytest.mark.parametrize("mode", MODES)
def test_readers_see_an_edit_at_once_unless_nothing_invalidates(
    stack: Stack, mode: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {**PATIENT, "CACHE_INVALIDATION": mode, "CACHE_FILL": "lock"}
    ttl = {"CACHE_TTL_S": str(TTL_S), "CACHE_TTL_JITTER": "0"}
    with webs(stack, tmp_path_factory.mktemp(mode), 2, {**settings, **ttl}) as (one, other):
        body = {"url": "https://example.org/1"}
        made = requests.post(f"{one.url}/api/links", json=body, timeout=20)
        code = made.json()["code"]
        assert read(other, code) == "1"
        read_s = time.monotonic()
        body = {"url": "https://example.org/2"}
        assert requests.patch(f"{one.url}/api/links/{code}", json=body, timeout=20).ok
        seen = [read(one, code), read(other, code)]
        if mode == "none":
            assert seen == ["1", "1"]
            eventually(lambda: read(other, code) == "2")
            assert time.monotonic() - read_s >= TTL_S - 0.5
        elif mode == "delete-with-floor":
            assert seen == ["2", "2"]
        else:
            assert seen in (["2", "2"], ["1", "1"])  # the replica may lag for a moment


def read(web: OwnWeb, code: str) -> str:
    """The version that a redirect has."""
    answer = requests.get(f"{web.url}/{code}", allow_redirects=False, timeout=20)
    assert answer.status_code == 302
    assert "X-Click-Id" in answer.headers
    return answer.headers["X-Link-Version"]
