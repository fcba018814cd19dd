"""The days of the click table: each is a partition, made before its first click, dropped whole.

Dropping a day costs the same whether it held ten clicks or ten million, and leaves nothing behind
to be vacuumed. The counts made from it stay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.infra.database import DatabaseUnavailable

_LOCK = 7_232_407_135_528_035  # beside the migrations' own
_LOCK_WAIT_S = 1
_AHEAD = 2  # days: a worker that hangs over midnight leaves the others their table
_CLOCKS_APART = 1  # days into the future that a web server's clock may be
_THERE = """SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'clicks'::regclass"""


class Partitions:
    """The partitions that are known to be there, and the range of days that there may be."""

    def __init__(self, keep_days: int) -> None:
        self._keep = timedelta(days=keep_days)
        self._known: frozenset[date] = frozenset()

    def takes(self, day: date) -> bool:
        """Whether clicks of a day are stored: neither dropped already, nor of a wrong clock."""
        today = _today()
        return today - self._keep <= day <= today + timedelta(days=_CLOCKS_APART)

    def forget(self) -> None:
        """Look again: the database may have become another one."""
        self._known = frozenset()

    async def make(self, connection: Any, days: Collection[date]) -> None:
        """Make the partitions of these days, unless they are there.

        Attaching a table takes a weaker lock than making it a partition at once: clicks of other
        days are stored meanwhile.
        """
        if self._known.issuperset(days):
            return
        async with _changing_tables(connection):
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            there = await _there(connection)
            for day in sorted(set(days) - there):
                name = _name(day)
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {name} (LIKE clicks INCLUDING ALL)"
                )
                await connection.execute(
                    f"ALTER TABLE clicks ATTACH PARTITION {name} "
                    f"FOR VALUES FROM ('{_midnight(day)}') TO ('{_midnight(day + _DAY)}')"
                )
        self._known = frozenset(there.union(days))

    async def make_ahead(self, connection: Any) -> None:
        """Make today's partition and the next ones."""
        today = _today()
        await self.make(connection, [today + timedelta(days=more) for more in range(_AHEAD + 1)])

    async def drop_old(self, connection: Any) -> list[date]:
        """Drop the days that are not kept any more, oldest first, and name them."""
        oldest = _today() - self._keep
        old = sorted(day for day in await _there(connection) if day < oldest)
        for day in old:
            async with _changing_tables(connection):
                await connection.execute(f"DROP TABLE IF EXISTS {_name(day)}")
        self._known -= frozenset(old)
        return old


_DAY = timedelta(days=1)


@asynccontextmanager
async def _changing_tables(connection: Any) -> AsyncIterator[None]:
    """A transaction that soon gives up waiting for a table: whatever comes waits behind it."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_S}s'")
            yield
    except asyncpg.LockNotAvailableError as error:
        raise DatabaseUnavailable(f"clicks are being read for long: {error}") from error


def _today() -> date:
    return datetime.now(UTC).date()


def _name(day: date) -> str:
    return f"clicks_{day:%Y%m%d}"


def _midnight(day: date) -> str:
    return f"{day.isoformat()} 00:00:00+00"


async def _there(connection: Any) -> set[date]:
    """The days of the partitions; a partition that is not a day is somebody else's affair."""
    names = [row["relname"] for row in await connection.fetch(_THERE)]
    return {
        datetime.strptime(digits, "%Y%m%d").date()
        for name in names
        if (digits := name.removeprefix("clicks_")).isdigit() and len(digits) == 8
    }
