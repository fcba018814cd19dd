"""Daily partitions of the click table: created before the first click, dropped whole.

Dropping a day costs the same whether it held ten clicks or ten million, and leaves nothing to
vacuum. The counts made from it stay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.infra.database import DatabaseUnavailable

_LOCK = 7_232_407_135_528_035  # next to that of the migrations
_LOCK_WAIT_S = 1
_DAYS_AHEAD = 2  # so that other workers have a table when this one hangs over midnight
_CLOCK_SKEW_DAYS = 1  # by which the clock of a web server may be ahead
_DAY = timedelta(days=1)
_PARTITIONS = """SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'clicks'::regclass"""


class Partitions:
    """The partitions known to exist, and the range of days that is stored."""

    def __init__(self, keep_days: int) -> None:
        self._keep = timedelta(days=keep_days)
        self._known: frozenset[date] = frozenset()

    def accepts(self, day: date) -> bool:
        """Return true unless the day was dropped already or lies in the future."""
        today = _today()
        return today - self._keep <= day <= today + timedelta(days=_CLOCK_SKEW_DAYS)

    def invalidate(self) -> None:
        """Query the partitions anew next time, as after a failover."""
        self._known = frozenset()

    async def create(self, connection: Any, days: Collection[date]) -> None:
        """Create the partitions of these days that do not exist.

        Attaching a table takes a weaker lock than creating it as a partition: clicks of other days
        are stored meanwhile.
        """
        if self._known.issuperset(days):
            return
        async with _table_change(connection):
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            existing = await _existing_days(connection)
            for day in sorted(set(days) - existing):
                name = _name(day)
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {name} (LIKE clicks INCLUDING ALL)"
                )
                await connection.execute(
                    f"ALTER TABLE clicks ATTACH PARTITION {name} "
                    f"FOR VALUES FROM ('{_midnight(day)}') TO ('{_midnight(day + _DAY)}')"
                )
        self._known = frozenset(existing.union(days))

    async def create_ahead(self, connection: Any) -> None:
        """Create the partitions of today and the next days."""
        days = [_today() + timedelta(days=more) for more in range(_DAYS_AHEAD + 1)]
        await self.create(connection, days)

    async def drop_old(self, connection: Any) -> list[date]:
        """Drop the days beyond the retention, oldest first, and return them."""
        oldest = _today() - self._keep
        old = sorted(day for day in await _existing_days(connection) if day < oldest)
        for day in old:
            async with _table_change(connection):
                await connection.execute(f"DROP TABLE IF EXISTS {_name(day)}")
        self._known -= frozenset(old)
        return old


@asynccontextmanager
async def _table_change(connection: Any) -> AsyncIterator[None]:
    """A transaction with a short `lock_timeout`, since other statements queue behind its lock."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_S}s'")
            yield
    except asyncpg.LockNotAvailableError as error:
        raise DatabaseUnavailable(f"a long query holds a lock on clicks: {error}") from error


def _today() -> date:
    return datetime.now(UTC).date()


def _name(day: date) -> str:
    return f"clicks_{day:%Y%m%d}"


def _midnight(day: date) -> str:
    return f"{day.isoformat()} 00:00:00+00"


async def _existing_days(connection: Any) -> set[date]:
    """The days of the partitions; partitions with other names are ignored."""
    names = [row["relname"] for row in await connection.fetch(_PARTITIONS)]
    return {
        datetime.strptime(digits, "%Y%m%d").date()
        for name in names
        if (digits := name.removeprefix("clicks_")).isdigit() and len(digits) == 8
    }
