"""Pool of database connections with a deadline around every use.

Statements are prepared when a connection opens, and its release sends nothing (asyncpg would reset
the session): over a slow link each look-up costs exactly one round trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from stack.shortener.infra.breaker import Breaker
from stack.shortener.infra.metrics import DurationHistogram, labelled_histogram
from stack.shortener.infra.pool import BROKEN, Failover, Pool, Unreplicated
from stack.shortener.infra.spans import span

# What the server says of a statement that it has not done.
_REFUSED = (
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,
)
# Raised while a connection, server or standby is in trouble; any other error is a bug.
OUTAGES = (*BROKEN, *_REFUSED)


class DatabaseUnavailable(Exception):
    """The database did not answer in time, or cannot serve now.

    If `may_be_done`, a statement was sent, and nobody said that it was not done.
    """

    def __init__(self, reason: str, *, may_be_done: bool = False) -> None:
        super().__init__(reason)
        self.may_be_done = may_be_done


class ConnectionBroken(DatabaseUnavailable):
    """The connection broke, or was refused, at once: another one may work."""


class Database:
    """A database named `primary` or `replica`; a use takes `timeout_s` at most.

    Of that, the wait for a connection takes `wait_s` at most. `synchronous_commit` is that of all
    its connections; if empty, it is the server's. `failover` is for one whose server may change.
    """

    def __init__(
        self,
        name: str,
        url: str,
        size: int,
        timeout_s: float,
        statements: Sequence[str],
        *,
        wait_s: float | None = None,
        breaker_failures: float = 5,
        breaker_open_s: float = 1.0,
        synchronous_commit: str = "",
        failover: Failover | None = None,
    ) -> None:
        self.name = name
        self.breaker = Breaker(name, breaker_failures, breaker_open_s, self._probe)
        self._timeout_s = timeout_s
        commit = {"synchronous_commit": synchronous_commit} if synchronous_commit else {}
        self._pool = Pool(
            name,
            url,
            size,
            wait_s,
            max(timeout_s, 1.0),
            statements,
            {
                "application_name": "shortener",
                "plan_cache_mode": "force_generic_plan",  # planned once, with indexes
                **commit,
            },
            failover,
        )

    @property
    def ready(self) -> bool:
        """True once all connections were opened and their statements prepared."""
        return self._pool.was_open

    @property
    def connections(self) -> Mapping[str, int]:
        """Open connections by state."""
        return self._pool.connections

    @property
    def waits(self) -> DurationHistogram:
        """The waits for a connection."""
        return self._pool.waits

    async def open(self) -> None:
        """Open the pool; retry while the database is down."""
        await self._pool.open()

    def check(self) -> None:
        """Raise `DatabaseUnavailable` unless the breaker is closed."""
        if not self.breaker.is_closed:
            raise DatabaseUnavailable(f"{self.name}: circuit breaker open")

    async def _probe(self) -> None:
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Lend a connection; raises `DatabaseUnavailable` at the deadline."""
        if not self.ready:
            raise DatabaseUnavailable(f"{self.name}: not connected yet")
        lent = False
        try:
            with span("database", db=self.name):
                async with asyncio.timeout(self._timeout_s), self._pool.lend() as connection:
                    lent = True
                    yield connection
        except Unreplicated as error:  # the server itself is well
            raise DatabaseUnavailable(f"{self.name}: {error}", may_be_done=True) from error
        except OUTAGES as error:
            if self.connections["used"] < self._pool.size:  # else the pool is exhausted by load
                self.breaker.failed(repr(error))
            broken = isinstance(error, BROKEN) and not isinstance(error, TimeoutError)
            kind = ConnectionBroken if broken else DatabaseUnavailable
            may_be_done = lent and not isinstance(error, _REFUSED)
            raise kind(f"{self.name}: {error!r}", may_be_done=may_be_done) from error
        else:
            self.breaker.succeeded()

    async def close(self) -> None:
        """Close the pool; terminate its connections after 0.3 s."""
        await self.breaker.close()
        await self._pool.close()


def pool_families(*databases: Database) -> Iterable[Metric]:
    """The waits for a connection, failed ones included, and the open connections."""
    yield labelled_histogram(
        "shortener_pool_wait_seconds",
        "Time to get a connection from the pool, in seconds",
        {database.name: database.waits for database in databases},
        "db",
    )
    connections = GaugeMetricFamily(
        "shortener_pool_connections", "Open connections of the pool", labels=["db", "state"]
    )
    for database in databases:
        for state, count in database.connections.items():
            connections.add_metric([database.name, state], count)
    yield connections
