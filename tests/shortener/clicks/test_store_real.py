"""Clicks in the database: each counted once, in any order and however often delivered."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.model.stack import Stack
from stack.shortener.api.link_statistics import statistics
from stack.shortener.clicks.buffer import NotWritten
from stack.shortener.clicks.outbox import REMOVE, TAKE, WRITE, Outbox, OutboxRelay
from stack.shortener.clicks.partitions import Partitions
from stack.shortener.clicks.retention import (
    MaintenanceTasks,
    delete_old_keys,
    sweep_expired_links,
)
from stack.shortener.clicks.store import (
    OTHERS,
    STORE,
    Click,
    ClickStore,
    UnstorableClicks,
    WorkerCounts,
)
from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.settings import WorkerSettings
from tests.support.databases import laid_out_database
from tests.support.shortener_process import eventually

pytestmark = pytest.mark.real

KEEP_DAYS = 7
serial = count()


@dataclass
class Primary:
    """A database of its own, used as a worker uses it."""

    url: str
    runner: asyncio.Runner
    database: Database
    partitions: Partitions = field(default_factory=lambda: Partitions(KEEP_DAYS))

    @property
    def store(self) -> ClickStore:
        return ClickStore(self.database, self.partitions)

    def run(self, work: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await work

        return self.runner.run(wait())

    def on_connection(self, do: Callable[[Any], Awaitable[Any]]) -> Any:
        async def use() -> Any:
            async with self.database.connection() as connection:
                return await do(connection)

        return self.run(use())

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def write(self, query: str, *values: object) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(query.encode(), values)

    def stats(self, code: str) -> dict[str, Any]:
        found: dict[str, Any] = self.on_connection(lambda one: statistics(one, code))
        return found


@pytest.fixture(scope="module")
def primary(stack: Stack) -> Iterator[Primary]:
    with laid_out_database(stack) as url, asyncio.Runner() as runner:
        database = Database("primary", url, 4, 10.0, [STORE, TAKE, REMOVE, WRITE])
        runner.run(database.open())
        try:
            yield Primary(url, runner, database)
        finally:
            runner.run(database.close())


def new_code() -> str:
    return f"code-{next(serial)}"


def click(code: str, **changed: Any) -> Click:
    plain = Click(f"id-{next(serial)}", code, datetime.now(UTC), "", False, 0)
    return plain._replace(**changed)


@dataclass(frozen=True)
class Kind:
    """Properties of a click."""

    link: int
    days_ago: int
    referrer: str
    bot: bool
    visitor: int


kinds = st.lists(
    st.builds(
        Kind,
        st.integers(0, 2),
        st.integers(0, KEEP_DAYS - 1),
        st.sampled_from(["", "a.example", "b.example"]),
        st.booleans(),
        st.sampled_from([0, 1, 2, 65, 66, 130]),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kinds, st.integers(0, 4), st.randoms(use_true_random=False))
def test_every_click_counts_once_however_it_is_delivered(
    primary: Primary, wanted: list[Kind], again: int, chance: random.Random
) -> None:
    codes = [new_code() for _ in range(3)]
    now = datetime.now(UTC)
    clicks = [
        click(
            codes[kind.link],
            clicked_at=now - timedelta(days=kind.days_ago),
            referrer=kind.referrer,
            bot=kind.bot,
            visitor=kind.visitor,
        )
        for kind in wanted
    ]
    deliveries = [clicks, *(chance.sample(clicks, len(clicks)) for _ in range(again))]
    batches = [part for delivery in deliveries for part in halves(delivery, chance)]
    chance.shuffle(batches)
    primary.run(deliver(primary, batches, chance))
    for code in codes:
        check_counts(primary, code, [one for one in clicks if one.code == code])


def halves(clicks: Sequence[Click], chance: random.Random) -> list[list[Click]]:
    cut = chance.randint(0, len(clicks))
    return [list(clicks[:cut]), list(clicks[cut:])]


async def deliver(primary: Primary, batches: list[list[Click]], chance: random.Random) -> None:
    """Store batches by two workers, while a third dies before each commit."""

    async def work(batches: list[list[Click]]) -> None:
        waiting = list(batches)
        while waiting:
            with contextlib.suppress(DatabaseUnavailable):  # deadlocks are possible
                await primary.store.add(waiting[0])
                waiting.pop(0)

    async def die(batch: list[Click]) -> None:
        dying = ClickStore(primary.database, Partitions(KEEP_DAYS))
        async with primary.database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await dying.store(connection, batch)
            await transaction.rollback()

    for batch in batches[: chance.randint(0, 2)]:
        await die(batch)
    await asyncio.gather(work(batches[::2]), work(batches[1::2]))


def check_counts(primary: Primary, code: str, clicks: Sequence[Click]) -> None:
    stats = primary.stats(code)
    assert stats["total"] == len(clicks)
    assert stats["bots"] == sum(one.bot for one in clicks)
    days = Counter(one.clicked_at.date().isoformat() for one in clicks)
    assert {day["day"]: day["total"] for day in stats["days"]} == days
    referrers = Counter(one.referrer for one in clicks)
    assert {one["referrer"]: one["total"] for one in stats["referrers"]} == referrers
    registers = {one.visitor // 64 for one in clicks if one.visitor and not one.bot}
    assert stats["visitors"] == len(registers)
    stored = primary.rows("SELECT click_id FROM clicks WHERE code = %s", code)
    assert Counter(click_id for (click_id,) in stored) == Counter(one.click_id for one in clicks)


def test_statistics_of_a_link_without_clicks_are_all_zero(primary: Primary) -> None:
    assert primary.stats("nothing") == {
        "total": 0,
        "bots": 0,
        "visitors": 0,
        "days": [],
        "referrers": [],
    }


def test_referrers_of_a_link_have_a_bound(primary: Primary) -> None:
    code = new_code()
    for start in range(0, 2000, 500):
        names = [f"site-{n}.example" for n in range(start, start + 500)]
        primary.run(primary.store.add([click(code, referrer=name) for name in names]))
    primary.run(primary.store.add([click(code, referrer="site-1.example")]))
    counted = dict(
        primary.rows("SELECT referrer, total FROM referrer_clicks WHERE code = %s", code)
    )
    assert len(counted) == 1001
    assert counted[OTHERS] == 1000
    assert counted["site-1.example"] == 2
    assert primary.stats(code)["total"] == 2001


@pytest.mark.parametrize("days", [-KEEP_DAYS - 1, 2, 400])
def test_clicks_of_a_day_that_is_over_or_far_ahead_are_refused(primary: Primary, days: int) -> None:
    strange = click(new_code(), clicked_at=datetime.now(UTC) + timedelta(days=days))
    with pytest.raises(UnstorableClicks):
        primary.run(primary.store.add([strange]))


def test_a_partition_that_vanished_is_made_again(primary: Primary) -> None:
    """After a failover the new primary may not have the newest one."""
    code = new_code()
    primary.run(primary.store.add([click(code)]))
    primary.write(f"DROP TABLE clicks_{datetime.now(UTC):%Y%m%d}")
    primary.run(primary.store.add([click(code)]))
    assert primary.stats(code)["total"] == 2


def days_there(primary: Primary) -> set[date]:
    rows = primary.rows(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'clicks'::regclass"
    )
    return {datetime.strptime(name, "clicks_%Y%m%d").date() for (name,) in rows}


def test_old_days_are_dropped_whole_and_their_counts_stay(primary: Primary) -> None:
    code, today = new_code(), datetime.now(UTC)
    primary.run(
        primary.store.add([click(code, clicked_at=today - timedelta(days=n)) for n in range(7)])
    )
    partitions = Partitions(2)
    dropped = primary.on_connection(partitions.drop_old)
    assert today.date() - timedelta(days=3) in dropped
    kept = {today.date() - timedelta(days=n) for n in range(3)}
    assert {day for day in days_there(primary) if day <= today.date()} == kept
    assert primary.stats(code)["total"] == 7
    assert len(primary.rows("SELECT FROM clicks WHERE code = %s", code)) == 3


def test_an_old_day_that_is_being_read_is_left_and_holds_up_no_clicks(primary: Primary) -> None:
    now, code = datetime.now(UTC), new_code()
    primary.run(primary.store.add([click(code, clicked_at=now - timedelta(days=5))]))
    with psycopg.connect(primary.url) as reader:
        reader.execute("SELECT FROM clicks LIMIT 1")
        with pytest.raises(DatabaseUnavailable):
            primary.on_connection(Partitions(2).drop_old)
        primary.run(primary.store.add([click(code)]))
    assert now.date() - timedelta(days=5) in primary.on_connection(Partitions(2).drop_old)


def test_a_worker_makes_the_next_days_before_they_come(primary: Primary) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    build: Callable[..., WorkerSettings] = WorkerSettings
    settings = build(primary_url=primary.url, queue_url="redis://x", sweep_interval_s=0.05)

    async def work_for_a_moment() -> None:
        working = asyncio.create_task(
            MaintenanceTasks(primary.database, Partitions(KEEP_DAYS), settings).run()
        )
        await asyncio.sleep(0.5)
        assert not working.done()
        working.cancel()

    primary.run(work_for_a_moment())
    assert {tomorrow, tomorrow + timedelta(days=1)} <= days_there(primary)


def test_links_that_expired_long_ago_are_swept_and_others_are_not(primary: Primary) -> None:
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=2)
    for code, expires_at, updated_at in [
        ("long-ago", long_ago, long_ago),
        ("just-now", now - timedelta(seconds=5), long_ago),
        ("ended-just-now", long_ago, now),
        ("to-come", now + timedelta(days=2), long_ago),
        ("never", None, long_ago),
    ]:
        primary.write(
            "INSERT INTO links (code, url, expires_at, updated_at) "
            "VALUES (%s, 'https://example.org/', %s, %s)",
            code,
            expires_at,
            updated_at,
        )
    assert primary.on_connection(lambda one: sweep_expired_links(one, 86_400)) == 1
    assert primary.on_connection(lambda one: sweep_expired_links(one, 86_400)) == 0
    assert primary.rows("SELECT code, url, version FROM links WHERE deleted") == [
        ("long-ago", "", 2)
    ]


def test_old_idempotency_keys_are_deleted(primary: Primary) -> None:
    primary.write(
        "INSERT INTO idempotency_keys (key, fingerprint, created_at) VALUES "
        "('old', '', now() - interval '2 days'), ('new', '', now())"
    )
    assert primary.on_connection(lambda one: delete_old_keys(one, 86_400)) == 1
    assert primary.rows("SELECT key FROM idempotency_keys") == [("new",)]


def relayed(primary: Primary, until: Callable[[], bool]) -> WorkerCounts:
    """Relay the outbox by two workers until a condition holds; return their counts."""
    counts = WorkerCounts()

    async def relay() -> None:
        relays = [
            asyncio.create_task(
                OutboxRelay(primary.database, primary.store, counts, 0.01, 0.01).run()
            )
            for _ in range(2)
        ]
        await asyncio.to_thread(eventually, until)
        for one in relays:
            assert not one.done()
            one.cancel()

    primary.run(relay())
    return counts


def left(primary: Primary) -> int:
    return len(primary.rows("SELECT FROM click_outbox"))


def at_ms(one: Click) -> tuple[str, str, int, str, bool, int]:
    return one._replace(clicked_at=round(one.clicked_at.timestamp() * 1000))  # type: ignore[arg-type,return-value]


def test_clicks_of_the_outbox_are_counted_once_though_written_twice(primary: Primary) -> None:
    code = new_code()
    clicks = [click(code, referrer="a.example", visitor=65) for _ in range(50)]
    outbox = Outbox(primary.database)
    for _ in range(2):
        primary.run(outbox.write([at_ms(one) for one in clicks]))
    counts = relayed(primary, lambda: left(primary) == 0)
    assert (counts.counted, counts.duplicate, counts.dead_lettered) == (50, 50, 0)
    stats = primary.stats(code)
    assert (stats["total"], stats["visitors"]) == (50, 1)


def test_a_click_that_is_refused_holds_up_no_other_in_the_outbox(
    primary: Primary, capsys: pytest.CaptureFixture[str]
) -> None:
    code = new_code()
    clicks = [click(code) for _ in range(5)]
    clicks.insert(2, click(code, clicked_at=datetime.now(UTC) - timedelta(days=100)))
    primary.run(Outbox(primary.database).write([at_ms(one) for one in clicks]))
    counts = relayed(primary, lambda: left(primary) == 0)
    assert (counts.counted, counts.dead_lettered) == (5, 1)
    assert clicks[2].click_id in capsys.readouterr().out


def test_a_click_that_two_workers_find_refused_is_dead_lettered_once(
    primary: Primary, capsys: pytest.CaptureFixture[str]
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=100)
    clicks = [click(new_code(), clicked_at=long_ago) for _ in range(200)]
    primary.run(Outbox(primary.database).write([at_ms(one) for one in clicks]))
    counts = relayed(primary, lambda: left(primary) == 0)
    assert (counts.counted, counts.dead_lettered) == (0, len(clicks))
    logged = capsys.readouterr().out
    assert {logged.count(f'"{one.click_id}"') for one in clicks} == {1}


def test_an_outbox_that_cannot_be_written_is_an_error() -> None:
    closed = Database("primary", "postgresql://nobody@127.0.0.1:1/x", 1, 0.1, [])
    with pytest.raises(NotWritten):
        asyncio.run(Outbox(closed).write([at_ms(click("code"))]))
