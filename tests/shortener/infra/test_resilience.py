"""Breaker, budget, retries, near cache and admission, each by itself."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count, islice
from typing import Any

import pytest

from stack.shortener.http import asgi
from stack.shortener.http.admission import bounded
from stack.shortener.infra.breaker import Breaker, BreakerState
from stack.shortener.infra.database import ConnectionBroken, DatabaseUnavailable
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.retry_budget import RetryBudget
from stack.shortener.redirect.cache_entry import ABSENT, DISABLED, LIMITED, LIVE, CacheEntry
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.redirect.origin import Origin
from stack.shortener.redirect.read_routes import ReplicaThenPrimary
from stack.shortener.settings import WebSettings
from tests.support.fake_links import ADDRESSES

PAUSE_S = 0.02
ENTRY = CacheEntry(7, LIVE, math.inf, 1000.0, 0.1, 1060.0, b"https://example.org/")


class Part:
    """A dependency that is down until `is_up`."""

    def __init__(self) -> None:
        self.is_up = False
        self.probes = 0
        self.breaker = Breaker("part", 3, PAUSE_S, self.probe)

    async def probe(self) -> None:
        self.probes += 1
        await asyncio.sleep(0)
        if not self.is_up:
            raise OSError("down")

    async def until_closed(self) -> None:
        while not self.breaker.is_closed:
            await asyncio.sleep(PAUSE_S / 4)


def test_a_breaker_opens_with_the_last_failure_that_is_allowed_in_a_row() -> None:
    async def main() -> None:
        breaker = Part().breaker
        for _ in range(10):
            breaker.failed("down")
            breaker.failed("down")
            breaker.succeeded()
        assert breaker.is_closed
        for _ in range(3):
            breaker.failed("down")
        assert breaker.state is BreakerState.OPEN
        await breaker.close()

    asyncio.run(main())


def test_a_breaker_opens_when_for_a_while_nothing_went_well() -> None:
    async def main() -> None:
        breaker = Part().breaker
        breaker.failed("down")
        await asyncio.sleep(PAUSE_S * 1.2)
        assert breaker.is_closed  # a single failure says little, however long ago
        breaker.failed("down")
        assert breaker.state is BreakerState.OPEN
        await breaker.close()

    asyncio.run(main())


def test_without_limits_a_breaker_never_opens() -> None:
    async def main() -> None:
        breaker = Breaker("part", *chosen(breaker=False).breaker_limits, Part().probe)
        for _ in range(2000):
            breaker.failed("down")
        assert breaker.is_closed

    asyncio.run(main())
    assert chosen().breaker_limits == (5, 1.0)


def chosen(**settings: Any) -> WebSettings:
    return WebSettings(**{**ADDRESSES, **settings})


def test_an_open_breaker_probes_alone_and_closes_when_a_probe_succeeds() -> None:
    async def main() -> None:
        part = Part()
        for _ in range(50):
            part.breaker.failed("down")
        began_s = asyncio.get_running_loop().time()
        while part.probes < 4:
            await asyncio.sleep(PAUSE_S / 4)
        # one at a time, a pause between
        assert asyncio.get_running_loop().time() - began_s >= 3 * PAUSE_S
        assert not part.breaker.is_closed
        part.is_up = True
        await asyncio.wait_for(part.until_closed(), 1)
        probes = part.probes
        await asyncio.sleep(PAUSE_S * 3)
        assert part.probes == probes
        part.breaker.failed("down")
        assert part.breaker.is_closed  # it counts from the start again

    asyncio.run(main())


def test_retries_are_a_share_of_what_goes_well_and_a_small_burst() -> None:
    budget = RetryBudget(0.1)
    burst = sum(budget.spend() for _ in range(1000))
    assert burst == 10
    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(1000)) == 10  # what was saved up is bounded
    spent = 0
    for _ in range(1000):
        budget.earn()
        spent += budget.spend()
    assert 99 <= spent <= 100


def test_a_share_of_nothing_is_no_retries() -> None:
    budget = RetryBudget(0)
    budget.earn()
    assert not budget.spend()


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
def test_the_near_cache_keeps_only_links_that_redirect_without_asking(state: int) -> None:
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


async def _ask(app: asgi.App) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    sent: list[Any] = []

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    async def receive() -> asgi.Message:
        return {"type": "http.request"}

    await app({"type": "http", "path": "/", "headers": []}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


async def _slow(_scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    await asyncio.sleep(0.3)
    await asgi.text(send, 200, b"{}")


def test_requests_beyond_the_limit_in_flight_get_503_with_retry_after() -> None:
    metrics = Metrics(requests_in_flight=3)
    app = bounded(_slow, metrics, most=2, deadline_s=5)
    status, headers, problem = asyncio.run(_ask(app))
    assert (status, headers[b"retry-after"], problem["status"]) == (503, b"1", 503)
    assert metrics.admission_refused == 1


def test_a_request_ends_at_its_deadline() -> None:
    app = bounded(_slow, Metrics(requests_in_flight=1), most=2, deadline_s=0.05)
    status, headers, problem = asyncio.run(_ask(app))
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert problem["detail"] == "the request exceeded its deadline"


class Asked:
    """A database of one link, whose connections break for the first `breaks` look-ups."""

    def __init__(self, name: str, breaks: int = 0, *, slow: bool = False) -> None:
        self.name = name
        self.breaks = breaks
        self.error = DatabaseUnavailable if slow else ConnectionBroken
        self.left_alone = False
        self.look_ups = 0

    def check(self) -> None:
        if self.left_alone:
            raise DatabaseUnavailable("left alone")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        yield self

    async def fetchrow(self, _query: str, _code: str) -> tuple[Any, ...]:
        self.look_ups += 1
        if self.breaks:
            self.breaks -= 1
            raise self.error("broken")
        return ("https://example.org/", 7, None, False, False, None)


def asked(replica: Asked, primary: Asked, budget: RetryBudget) -> tuple[int | None, Metrics]:
    """Ask a question; return the version it finds, if any, and the metrics."""
    metrics = Metrics()
    first: Any = replica
    second: Any = primary
    query = Origin(first, second, metrics, budget, ReplicaThenPrimary()).query("code", 0.0)

    async def look_up() -> int:
        return (await query.fetch()).version

    try:
        return asyncio.run(look_up()), metrics
    except DatabaseUnavailable:
        return None, metrics


def test_the_primary_is_asked_once_more_when_only_the_connection_broke() -> None:
    replica, primary = Asked("replica", breaks=1), Asked("primary", breaks=1)
    version, metrics = asked(replica, primary, RetryBudget(0.1))
    assert version == 7
    assert (replica.look_ups, primary.look_ups) == (1, 2)
    assert metrics.retries == {"made": 1, "refused": 0}


def test_a_clock_that_is_set_meanwhile_does_not_change_how_long_a_look_up_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = count(2_000_000_000.0, -3600)
    monkeypatch.setattr("time.time", lambda: next(wall))
    replica: Any = Asked("replica")
    origin = Origin(replica, replica, Metrics(), RetryBudget(0), ReplicaThenPrimary())

    async def look_up() -> CacheEntry:
        return await origin.query("code", 0.0).fetch()

    entry = asyncio.run(look_up())
    assert 0 <= entry.recompute_s < 60


def test_a_look_up_is_not_retried_twice_nor_after_a_timeout_nor_without_a_budget() -> None:
    for primary, budget, look_ups in (
        (Asked("primary", breaks=9), RetryBudget(0.1), 2),
        (Asked("primary", breaks=9, slow=True), RetryBudget(0.1), 1),
        (Asked("primary", breaks=9), RetryBudget(0), 1),
    ):
        version, _ = asked(Asked("replica", breaks=1), primary, budget)
        assert (version, primary.look_ups) == (None, look_ups)


def test_a_database_that_is_left_alone_is_not_asked() -> None:
    replica, primary = Asked("replica"), Asked("primary")
    replica.left_alone = True
    assert asked(replica, primary, RetryBudget(0.1))[0] == 7
    assert (replica.look_ups, primary.look_ups) == (0, 1)
    primary.left_alone = True
    assert asked(replica, primary, RetryBudget(0.1))[0] is None
    assert primary.look_ups == 1
