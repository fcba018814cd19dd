"""Where a look-up goes, by setting, with stand-ins for the databases and the cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.retry_budget import RetryBudget
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import StoreOutcome
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.fills.singleflight import Flights
from stack.shortener.redirect.origin import LOOK_UP, Origin
from stack.shortener.redirect.read_routes import READ_ROUTES, LagBounded, read_route
from stack.shortener.redirect.read_tokens import (
    NOWHERE,
    WRITTEN,
    ReadToken,
    ReadTokens,
    WalPosition,
    sent,
    unpack,
)
from stack.shortener.redirect.refill import FillResult, Refill
from stack.shortener.redirect.replica_lag import LagWatch
from stack.shortener.settings import ReadFrom, WebSettings
from tests.support.fake_links import ADDRESSES

PIN_S, WAIT_S = 0.3, 0.1
LONG_AGO_MS = 1_000_000_000_000
HERE = WalPosition(1, 100)


@dataclass
class FakeDatabase:
    """A database with one link at a version, or without it (0)."""

    name: str
    version: int
    position: WalPosition | None = HERE
    steps_per_poll: int = 0
    is_up: bool = True
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        if not self.is_up:
            raise DatabaseUnavailable("down")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        self.check()
        yield self

    async def fetchrow(self, query: str, *_: str) -> tuple[Any, ...] | None:
        if query == LOOK_UP:
            self.asked.append(self.name)
            target = f"https://example.org/{self.version}"
            return (target, self.version, None, False, False, None) if self.version else None
        if query == WRITTEN:
            assert self.position is not None
            return (f"{self.position.timeline:08X}", self.position.lsn)
        self.asked.append("position")
        before = self.position
        if before is not None:
            self.position = before._replace(lsn=before.lsn + self.steps_per_poll)
        return before


class FakeCache:
    """A cache that knows of a version, and keeps older ones out."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.released: list[str] = []

    async def store(self, _code: str, entry: CacheEntry, _token: str) -> StoreOutcome:
        return StoreOutcome.STORED if entry.version >= self.floor else StoreOutcome.BEHIND

    async def release(self, _code: str, token: str) -> None:
        self.released.append(token)


@dataclass
class Found:
    """What a reader got, and the databases that were asked for it."""

    version: int
    asked: list[str]


def settings(read_from: str, **changed: str) -> WebSettings:
    given: Any = {**ADDRESSES, "read_from": read_from, **changed}
    return WebSettings(**given, read_pin_s=PIN_S, read_wait_s=WAIT_S)


def origin(replica: FakeDatabase, primary: FakeDatabase, read_from: ReadFrom) -> Origin:
    route = READ_ROUTES[read_from](settings(read_from))
    first: Any = replica
    second: Any = primary
    return Origin(first, second, Metrics(), RetryBudget(0), route)


def read(read_from: ReadFrom, replica: FakeDatabase, after: ReadToken | None = None) -> Found:
    """Look a link up that the primary has at version 2."""
    primary = FakeDatabase("primary", 2)

    async def look_up() -> int:
        query = origin(replica, primary, read_from).query("code", 0.0, after)
        return (await query.fetch()).version

    version = asyncio.run(look_up())
    return Found(version, replica.asked + primary.asked)


def token(lsn: int, timeline: int = 1, at_ms: int | None = None) -> ReadToken:
    now_ms = time.time_ns() // 1_000_000
    return ReadToken(WalPosition(timeline, lsn), now_ms if at_ms is None else at_ms)


def test_by_default_the_primary_is_asked_for_what_the_replica_lacks() -> None:
    assert WebSettings.model_fields["read_from"].default == "replica-then-primary"
    assert read("replica-then-primary", FakeDatabase("replica", 1)) == Found(1, ["replica"])
    both = ["replica", "primary"]
    assert read("replica-then-primary", FakeDatabase("replica", 0)) == Found(2, both)
    down = FakeDatabase("replica", 1, is_up=False)
    assert read("replica-then-primary", down) == Found(2, ["primary"])


def test_the_replica_alone_is_believed_whatever_it_says() -> None:
    assert read("replica", FakeDatabase("replica", 1), token(999)) == Found(1, ["replica"])
    assert read("replica", FakeDatabase("replica", 0), token(999)) == Found(0, ["replica"])
    with pytest.raises(DatabaseUnavailable):
        read("replica", FakeDatabase("replica", 1, is_up=False))


def test_the_primary_alone_is_asked_always() -> None:
    assert read("primary", FakeDatabase("replica", 1)) == Found(2, ["primary"])


def test_a_session_is_pinned_to_the_primary_for_a_while_after_its_write() -> None:
    assert read("pinned", FakeDatabase("replica", 1), token(0)) == Found(2, ["primary"])
    long_ago = token(0, at_ms=LONG_AGO_MS)
    assert read("pinned", FakeDatabase("replica", 1), long_ago) == Found(1, ["replica"])
    assert read("pinned", FakeDatabase("replica", 0)) == Found(0, ["replica"])


@pytest.mark.parametrize("read_from", ["lsn", "lsn-wait"])
def test_a_session_reads_the_replica_once_that_has_its_write(read_from: ReadFrom) -> None:
    qualified = read(read_from, FakeDatabase("replica", 1), token(100))
    assert qualified == Found(1, ["position", "replica"])
    assert read(read_from, FakeDatabase("replica", 1)) == Found(1, ["replica"])
    behind = read(read_from, FakeDatabase("replica", 1), token(101))
    assert (behind.version, behind.asked[-1]) == (2, "primary")


def test_without_waiting_the_position_is_read_once() -> None:
    behind = read("lsn", FakeDatabase("replica", 1, steps_per_poll=1), token(101))
    assert behind == Found(2, ["position", "primary"])


def test_a_replica_that_catches_up_in_time_is_waited_for() -> None:
    found = read("lsn-wait", FakeDatabase("replica", 1, steps_per_poll=1), token(102))
    assert found == Found(1, ["position"] * 3 + ["replica"])


@pytest.mark.parametrize("read_from", ["lsn", "lsn-wait"])
@pytest.mark.parametrize("position", [WalPosition(2, 10**9), None])
def test_a_position_of_another_timeline_says_nothing(
    read_from: ReadFrom, position: WalPosition | None
) -> None:
    replica = FakeDatabase("replica", 1, position=position)
    assert read(read_from, replica, token(1)) == Found(2, ["position", "primary"])


@pytest.mark.parametrize("read_from", ["lsn", "lsn-wait"])
def test_without_a_replica_sessions_read_the_primary(read_from: ReadFrom) -> None:
    for after in (None, token(1)):
        down = FakeDatabase("replica", 1, is_up=False)
        assert read(read_from, down, after) == Found(2, ["primary"])


@pytest.mark.parametrize(
    ("read_from", "version", "asked"),
    [
        ("replica-then-primary", 2, ["replica", "primary"]),
        ("replica", 1, ["replica"]),
        ("pinned", 1, ["replica"]),
        ("lsn", 1, ["replica"]),
    ],
)
def test_what_the_cache_refuses_is_asked_again_unless_the_replica_is_believed(
    read_from: ReadFrom, version: int, asked: list[str]
) -> None:
    replica, primary = FakeDatabase("replica", 1), FakeDatabase("primary", 2)
    cache: Any = FakeCache(floor=2)
    refill = Refill(origin(replica, primary, read_from), cache, Metrics())
    filled = asyncio.run(refill("code", CacheRead(None, 0.0), "lease"))
    assert (filled.entry.version, replica.asked + primary.asked) == (version, asked)
    assert cache.released == (["lease"] if version == 1 else [])  # or the next one would wait


def test_who_must_see_a_write_shares_no_flight_with_who_need_not() -> None:
    async def main() -> list[int]:
        async def unused(_code: str) -> CacheRead:
            raise AssertionError

        flights = Flights(unused)

        async def fly(version: int) -> FillResult:
            await asyncio.sleep(0.01)
            entry = CacheEntry(version, 1, 0.0, 0.0, 0.0, 0.0, b"")
            return FillResult(entry, "miss")

        results = await asyncio.gather(
            flights.share("code", 0.0, lambda: fly(1)),
            flights.share("code", 0.0, lambda: fly(2), token(1, at_ms=1)),
            flights.share("code", 0.0, lambda: fly(3), token(1, at_ms=1)),
        )
        return [result.entry.version for result in results]

    assert asyncio.run(main()) == [1, 2, 2]


def test_a_token_comes_back_as_it_was_packed() -> None:
    given = ReadToken(WalPosition(3, 0xA_0000_00BC), 1_900_000_000_123)
    assert given.pack() == b"3/A/BC/1900000000123"
    assert unpack(given.pack()) == given
    assert sent([(b"host", b"s.example"), (b"x-read-token", given.pack())]) == given


@pytest.mark.parametrize("value", [b"", b"1/0/0", b"1/0/g/0", b"-1/0/0/0", b"1/0/0/0\n", b"x" * 99])
def test_what_is_no_token_is_none(value: bytes) -> None:
    assert unpack(value) is None


def issued(primary: FakeDatabase, *, with_position: bool) -> ReadToken:
    database: Any = primary
    value = asyncio.run(ReadTokens(database, with_position=with_position).issue())
    found = unpack(value)
    assert found is not None
    assert abs(found.at_ms - time.time() * 1000) < 60_000
    return found


def test_a_token_has_the_position_of_the_primary_if_positions_are_compared() -> None:
    primary = FakeDatabase("primary", 1, WalPosition(31, 0x1_0000_0002))
    assert issued(primary, with_position=True).position == WalPosition(31, 0x1_0000_0002)
    assert issued(primary, with_position=False).position == NOWHERE


def test_if_the_position_is_unknown_no_replica_qualifies() -> None:
    lost = issued(FakeDatabase("primary", 1, is_up=False), with_position=True)
    replica = FakeDatabase("replica", 1)
    assert read("lsn", replica, lost) == Found(2, ["position", "primary"])


@pytest.mark.parametrize("read_from", ["lsn", "lsn-wait"])
def test_a_commit_that_is_not_flushed_has_no_position_to_compare(read_from: str) -> None:
    with pytest.raises(ValueError, match="does not go with"):
        settings(read_from, synchronous_commit="off")


# --- a bound on the lag ---------------------------------------------------------------------------

BOUND_S = 0.2


class Lagging:
    """A primary whose log is at `lsn`, a replica that follows or stays, and who watches them."""

    def __init__(self, max_s: float = BOUND_S) -> None:
        self.replica, self.primary = FakeDatabase("replica", 1), FakeDatabase("primary", 2)
        replica: Any = self.replica
        primary: Any = self.primary
        self.watch = LagWatch(replica, primary, max_s)

    def written(self, lsn: int, timeline: int = 1) -> None:
        self.primary.position = WalPosition(timeline, lsn)

    def replays(self, lsn: int | None, timeline: int = 1) -> None:
        self.replica.position = None if lsn is None else WalPosition(timeline, lsn)

    def look(self) -> bool:
        asyncio.run(self.watch.look())
        return self.watch.is_within


def test_a_replica_is_within_the_bound_once_it_shows_what_the_primary_had() -> None:
    lagging = Lagging()
    assert not lagging.watch.is_within
    assert lagging.look()


def test_a_replica_that_shows_what_the_primary_had_a_moment_ago_is_within_the_bound() -> None:
    lagging = Lagging()
    lagging.look()
    lagging.written(101)
    time.sleep(BOUND_S / 4)
    assert lagging.look()
    lagging.replays(101)
    lagging.written(102)
    time.sleep(BOUND_S)
    assert not lagging.look()  # it has what was there a bound ago, and more was, a moment later
    lagging.replays(102)
    assert lagging.look()


def test_an_idle_primary_makes_no_lag() -> None:
    lagging = Lagging()
    assert lagging.look()
    time.sleep(BOUND_S * 1.1)
    assert not lagging.watch.is_within  # nobody has looked
    assert lagging.look()


@pytest.mark.parametrize(("lsn", "timeline"), [(None, 1), (10**9, 2), (99, 1)])
def test_a_replica_that_follows_nobody_or_another_is_not_within_the_bound(
    lsn: int | None, timeline: int
) -> None:
    lagging = Lagging()
    lagging.replays(lsn, timeline)
    assert not lagging.look()


@pytest.mark.parametrize("down", ["replica", "primary"])
def test_while_one_of_both_is_down_the_watch_goes_on_and_learns_nothing(down: str) -> None:
    lagging = Lagging()
    getattr(lagging, down).is_up = False

    async def main() -> bool:
        running = asyncio.create_task(lagging.watch.run())
        await asyncio.sleep(BOUND_S)
        known = lagging.watch.is_within
        getattr(lagging, down).is_up = True
        await asyncio.sleep(BOUND_S)
        assert not running.done()
        running.cancel()
        return known

    assert not asyncio.run(main())
    assert lagging.watch.is_within


def read_within(lagging: Lagging, read_from: ReadFrom = "replica") -> Found:
    bounded = read_route(settings(read_from), lagging.watch)
    first: Any = lagging.replica
    second: Any = lagging.primary

    async def look_up() -> int:
        both = Origin(first, second, Metrics(), RetryBudget(0), bounded)
        return (await both.query("code", 0.0).fetch()).version

    lagging.replica.asked.clear()
    return Found(asyncio.run(look_up()), lagging.replica.asked + lagging.primary.asked)


def test_reads_leave_a_replica_that_lags_beyond_the_bound_and_return() -> None:
    lagging = Lagging()
    assert read_within(lagging) == Found(2, ["primary"])
    lagging.primary.asked.clear()
    lagging.look()
    assert read_within(lagging) == Found(1, ["replica"])


def test_while_the_primary_is_down_an_old_answer_is_better_than_none() -> None:
    lagging = Lagging()
    lagging.primary.is_up = False
    assert read_within(lagging) == Found(1, ["replica"])


def test_without_a_bound_or_without_reads_of_the_replica_nobody_watches() -> None:
    assert not settings("replica").watches_lag
    assert settings("replica", read_lag_max_s="0.5").watches_lag
    assert not settings("primary", read_lag_max_s="0.5").watches_lag
    assert not isinstance(read_route(settings("replica"), None), LagBounded)


@pytest.mark.parametrize("read_from", ["replica", "replica-then-primary"])
def test_within_the_bound_the_route_is_the_one_that_was_chosen(read_from: ReadFrom) -> None:
    bounded = read_route(settings(read_from), Lagging().watch)
    assert (
        bounded.asks_again_if_behind
        == READ_ROUTES[read_from](settings(read_from)).asks_again_if_behind
    )
