"""Look-ups in the databases: which one gets the query, and when it is retried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from stack.shortener.infra.database import ConnectionBroken, DatabaseUnavailable
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.retry_budget import RetryBudget
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.origin import Origin
from stack.shortener.redirect.read_routes import ReplicaThenPrimary


class FakeDatabase:
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


def looked_up(
    replica: FakeDatabase, primary: FakeDatabase, budget: RetryBudget
) -> tuple[int | None, Metrics]:
    """Query a link; return the version found, if any, and the metrics."""
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


def test_the_primary_is_queried_once_more_when_only_the_connection_broke() -> None:
    replica, primary = FakeDatabase("replica", breaks=1), FakeDatabase("primary", breaks=1)
    version, metrics = looked_up(replica, primary, RetryBudget(0.1))
    assert version == 7
    assert (replica.look_ups, primary.look_ups) == (1, 2)
    assert metrics.retries == {"made": 1, "refused": 0}


def test_a_clock_that_is_set_meanwhile_does_not_change_how_long_a_look_up_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = count(2_000_000_000.0, -3600)
    monkeypatch.setattr("time.time", lambda: next(wall))
    replica: Any = FakeDatabase("replica")
    origin = Origin(replica, replica, Metrics(), RetryBudget(0), ReplicaThenPrimary())

    async def look_up() -> CacheEntry:
        return await origin.query("code", 0.0).fetch()

    entry = asyncio.run(look_up())
    assert 0 <= entry.recompute_s < 60


def test_a_look_up_is_not_retried_twice_nor_after_a_timeout_nor_without_a_budget() -> None:
    for primary, budget, look_ups in (
        (FakeDatabase("primary", breaks=9), RetryBudget(0.1), 2),
        (FakeDatabase("primary", breaks=9, slow=True), RetryBudget(0.1), 1),
        (FakeDatabase("primary", breaks=9), RetryBudget(0), 1),
    ):
        version, _ = looked_up(FakeDatabase("replica", breaks=1), primary, budget)
        assert (version, primary.look_ups) == (None, look_ups)


def test_a_database_that_is_left_alone_is_not_queried() -> None:
    replica, primary = FakeDatabase("replica"), FakeDatabase("primary")
    replica.left_alone = True
    assert looked_up(replica, primary, RetryBudget(0.1))[0] == 7
    assert (replica.look_ups, primary.look_ups) == (0, 1)
    primary.left_alone = True
    assert looked_up(replica, primary, RetryBudget(0.1))[0] is None
    assert primary.look_ups == 1
