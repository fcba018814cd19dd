"""The near cache: how long it keeps which links, and what that takes of time and memory."""

from __future__ import annotations

import math
import re
import time
import tracemalloc
from itertools import islice

import pytest

from stack.shortener.redirect.cache_entry import ABSENT, DISABLED, LIMITED, LIVE, CacheEntry
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.settings import WebSettings

ENTRY = CacheEntry(7, LIVE, math.inf, 1000.0, 0.1, 1060.0, b"https://example.org/")


def test_the_near_cache_keeps_a_link_for_its_short_life() -> None:
    near = NearCache(ttl_s=2, size=10)
    near.keep("a", ENTRY, 1000.0)
    assert near.get("a", 1001.9) == ENTRY
    assert near.get("a", 1002.0) is None
    assert near.get("b", 1000.0) is None


@pytest.mark.parametrize(
    "entry", [ENTRY._replace(fresh_until=1001.0), ENTRY._replace(link_expires_at=1001.0)]
)
def test_the_near_cache_makes_no_link_live_longer(entry: CacheEntry) -> None:
    near = NearCache(ttl_s=2, size=10)
    near.keep("a", entry, 1000.0)
    assert near.get("a", 1000.9) == entry
    assert near.get("a", 1001.0) is None


@pytest.mark.parametrize("state", [ABSENT, DISABLED, LIMITED])
def test_the_near_cache_keeps_only_links_that_redirect_without_a_query(state: int) -> None:
    near = NearCache(ttl_s=2, size=10)
    near.keep("a", ENTRY._replace(state=state), 1000.0)
    assert near.get("a", 1000.0) is None


def test_the_near_cache_is_off_forgets_and_does_not_grow() -> None:
    off = NearCache(ttl_s=0, size=10)
    off.keep("a", ENTRY, 1000.0)
    assert off.get("a", 1000.0) is None
    near = NearCache(ttl_s=2, size=10)
    for number in range(100):
        near.keep(str(number), ENTRY, 1000.0)
    assert [code for code in map(str, range(100)) if near.get(code, 1000.0)] == [
        str(number) for number in range(90, 100)
    ]
    near.invalidate("95")
    assert near.get("95", 1000.0) is None


def test_a_large_near_cache_makes_room_as_fast_as_a_small_one() -> None:
    small, large = (_seconds_of_making_room(size) for size in (100, 100_000))
    assert large < 15 * small


def _seconds_of_making_room(size: int) -> float:
    near = NearCache(ttl_s=2, size=size)
    codes = map(str, range(1_000_000))
    for code in islice(codes, size + 70_000):
        near.keep(code, ENTRY, 1000.0)
    took_s = []
    for _ in range(5):
        began_s = time.process_time()
        for code in islice(codes, 1_000):
            near.keep(code, ENTRY, 1000.0)
        took_s.append(time.process_time() - began_s)
    return min(took_s)


def test_a_near_cache_takes_the_memory_that_its_setting_states() -> None:
    near, links = NearCache(ttl_s=2, size=10_000), 10_000
    tracemalloc.start()
    try:
        for number in range(links):
            read_at = 1000.0 + number
            url = b"https://www.example.org/articles/%d/its-title" % number
            entry = CacheEntry(number, LIVE, math.inf, read_at, read_at / 7, read_at + 60, url)
            near.keep(f"code-{number}", entry, read_at)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (stated,) = re.findall(
        r"about (\d+) bytes", str(WebSettings.model_fields["near_cache_size"].description)
    )
    assert 0.8 < taken / links / int(stated) < 1.2
