"""Pool of database connections with a deadline around every use.

Statements are prepared when a connection opens, and its release sends nothing (asyncpg would reset
the session): over a slow link each look-up costs exactly one round trip.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from stack.shortener.infra.breaker import Breaker
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import DurationHistogram, labelled_histogram
from stack.shortener.infra.spans import span

_NEVER = 2**31 - 1
_RETRY_S = 0.25
_SCHEMA_RETRY_S = 0.05  # on a new cluster the replica has the schema a moment later
_SCHEMA_MISSING = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
# Raised while a connection, server or standby is in trouble; any other error is a bug.
# InternalClientError: the server has just closed the connection of the statement.
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,
)
_BROKEN = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)


class DatabaseUnavailable(Exception):
    """The database did not answer in time, or cannot serve now."""


class ConnectionBroken(DatabaseUnavailable):
    """The connection broke, or was refused, at once: another one may work."""


class Database:
    """A database named `primary` or `replica`; a use takes `timeout_s` at most.

    Of that, the wait for a connection takes `wait_s` at most. `synchronous_commit` is that of all
    its connections; if empty, it is the server's.
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
    ) -> None:
        self.name = name
        self.breaker = Breaker(name, breaker_failures, breaker_open_s, self._probe)
        self.waits = DurationHistogram()
        self._url = url
        self._size = size
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._statements = statements
        self._commit = {"synchronous_commit": synchronous_commit} if synchronous_commit else {}
        self._pool: Any = None

    @property
    def ready(self) -> bool:
        """True once all connections were opened and their statements prepared."""
        return self._pool is not None

    @property
    def connections(self) -> Mapping[str, int]:
        """Open connections by state; lost ones are reopened, and counted, on demand."""
        idle = self._pool.get_idle_size() if self._pool else 0
        size = self._pool.get_size() if self._pool else 0
        return {"idle": idle, "used": size - idle}

    async def open(self) -> None:
        """Open the pool; retry while the database is down."""
        while self._pool is None:
            try:
                self._pool = await self._connect()
            except _SCHEMA_MISSING as error:
                log("schema_missing", db=self.name, error=repr(error))
                await asyncio.sleep(_SCHEMA_RETRY_S)
            except (*OUTAGES, asyncpg.PostgresError) as error:  # it may still be created
                log("database_down", level="warning", db=self.name, error=repr(error))
                await asyncio.sleep(_RETRY_S)

    async def _connect(self) -> Any:
        return await asyncpg.create_pool(
            self._url,
            min_size=self._size,
            max_size=self._size,
            timeout=max(self._timeout_s, 1.0),
            max_queries=_NEVER,
            max_inactive_connection_lifetime=0,
            max_cached_statement_lifetime=0,
            init=self._prepare,
            reset=_no_reset,
            server_settings={
                "application_name": "shortener",
                "plan_cache_mode": "force_generic_plan",  # planned once, with indexes
                **self._commit,
            },
        )

    async def _prepare(self, connection: Any) -> None:
        for statement in self._statements:
            await connection.executemany(statement, [])  # prepares and executes nothing
        # That leaves a transaction open, whose start would be now() of the first use.
        await connection.execute("SELECT 1")

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
        if self._pool is None:
            raise DatabaseUnavailable(f"{self.name}: not connected yet")
        try:
            with span("database", db=self.name):
                async with asyncio.timeout(self._timeout_s):
                    connection = await self._acquire()
                    try:
                        yield connection
                    except (asyncio.CancelledError, OSError, asyncpg.InternalClientError):
                        connection.terminate()  # a response may still arrive on it
                        raise
                    finally:
                        await self._pool.release(connection)
        except OUTAGES as error:
            if self.connections["used"] < self._size:  # else the pool is exhausted by load
                self.breaker.failed(repr(error))
            broken = isinstance(error, _BROKEN) and not isinstance(error, TimeoutError)
            kind = ConnectionBroken if broken else DatabaseUnavailable
            raise kind(f"{self.name}: {error!r}") from error
        else:
            self.breaker.succeeded()

    async def _acquire(self) -> Any:
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._pool.acquire()
        finally:
            self.waits.observe(time.perf_counter() - began_s)

    async def close(self) -> None:
        """Close the pool; terminate its connections after 0.3 s."""
        await self.breaker.close()
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(0.3):
                await self._pool.close()
        except OUTAGES:
            self._pool.terminate()


async def _no_reset(_connection: Any) -> None:
    """Skip the reset of the session, whose state is never changed."""


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
