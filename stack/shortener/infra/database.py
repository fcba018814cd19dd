"""A pool of database connections with a deadline around every use.

Statements are prepared when a connection opens, and giving it back sends nothing (asyncpg would
otherwise reset the session): over a slow link each look-up costs exactly one round trip.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.infra.breaker import Breaker
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import DurationHistogram
from stack.shortener.infra.spans import span

_NEVER = 2**31 - 1
_RETRY_S = 0.25
_SCHEMA_RETRY_S = 0.05  # at a first start the replica has it a moment after the primary
_SCHEMA_TO_COME = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
# What a connection, server or standby in trouble raises; anything else is a mistake of ours.
# InternalClientError is what a statement gets whose connection the server has just given up.
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
    """The database did not answer in time, or cannot serve just now."""


class ConnectionBroken(DatabaseUnavailable):
    """The connection broke, or could not be made, at once: another one may well work."""


class Database:
    """One database, by name `primary` or `replica`; every use takes `timeout_s` at most.

    Of that, `wait_s` at most are spent waiting for a connection.
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
        breaker_failures: int = 5,
        breaker_open_s: float = 1.0,
    ) -> None:
        self.name = name
        self.breaker = Breaker(name, breaker_failures, breaker_open_s, self._probe)
        self.waits = DurationHistogram()
        self._url = url
        self._size = size
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._statements = statements
        self._pool: Any = None

    @property
    def ready(self) -> bool:
        """Whether all connections were opened and their statements prepared."""
        return self._pool is not None

    @property
    def connections(self) -> Mapping[str, int]:
        """Open connections by state; those lost and not needed since are none."""
        idle = self._pool.get_idle_size() if self._pool else 0
        size = self._pool.get_size() if self._pool else 0
        return {"idle": idle, "used": size - idle}

    async def open(self) -> None:
        """Open the pool, and keep trying for as long as the database is down."""
        while self._pool is None:
            try:
                self._pool = await self._connect()
            except _SCHEMA_TO_COME as error:
                log("schema_missing", db=self.name, error=repr(error))
                await asyncio.sleep(_SCHEMA_RETRY_S)
            except (*OUTAGES, asyncpg.PostgresError) as error:  # the database may yet be made
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
            reset=_keep,
            server_settings={
                "application_name": "shortener",
                "plan_cache_mode": "force_generic_plan",  # planned once, and known to use indexes
            },
        )

    async def _prepare(self, connection: Any) -> None:
        for statement in self._statements:
            await connection.executemany(statement, [])  # parses it, executes nothing
        # That leaves a transaction open, whose time would be the first user's now().
        await connection.execute("SELECT 1")

    def check(self) -> None:
        """Raise `DatabaseUnavailable` while the breaker leaves the database alone."""
        if not self.breaker.is_closed:
            raise DatabaseUnavailable(f"{self.name}: is down, and is left alone for a moment")

    async def _probe(self) -> None:
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for a moment; raises `DatabaseUnavailable` when the deadline passes."""
        if self._pool is None:
            raise DatabaseUnavailable(f"{self.name}: not connected yet")
        try:
            with span("database", db=self.name):
                async with asyncio.timeout(self._timeout_s):
                    connection = await self._acquire()
                    try:
                        yield connection
                    except (asyncio.CancelledError, OSError, asyncpg.InternalClientError):
                        connection.terminate()  # an answer may still be under way on it
                        raise
                    finally:
                        await self._pool.release(connection)
        except OUTAGES as error:
            if self.connections["used"] < self._size:  # else it is we who ask too much
                self.breaker.failed(repr(error))
            broken = isinstance(error, _BROKEN) and not isinstance(error, TimeoutError)
            kind = ConnectionBroken if broken else DatabaseUnavailable
            raise kind(f"{self.name}: {error!r}") from error
        else:
            self.breaker.succeeded()

    async def _acquire(self) -> Any:
        asked_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._pool.acquire()
        finally:
            self.waits.observe(time.perf_counter() - asked_s)

    async def close(self) -> None:
        """Close every connection, politely if that is quick."""
        await self.breaker.close()
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(0.3):
                await self._pool.close()
        except OUTAGES:
            self._pool.terminate()


async def _keep(_connection: Any) -> None:
    """Leave the session as it is; we never change its state."""
