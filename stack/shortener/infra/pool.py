"""Pool of connections, opened and prepared together; that of the primary survives a failover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import DurationHistogram
from stack.shortener.infra.openings import Openings
from stack.shortener.infra.servers import UNKNOWN, Opening, ServerConnection, WritableServer

_NEVER = 2**31 - 1
_RETRY_S = 0.25
_SCHEMA_RETRY_S = 0.05  # on a new cluster the replica has the schema a moment later
_CLOSE_S = 0.3
_SCHEMA_MISSING = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
# InternalClientError: the server has just closed the connection of the statement.
BROKEN = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
_OF_ONE_STATEMENT = (TimeoutError, asyncpg.QueryCanceledError)


class Unreplicated(Exception):
    """The commit is on this server, but stopped waiting for a standby: a failover may lose it."""


@dataclass(frozen=True)
class Failover:
    """Behaviour of a pool when servers change their roles.

    `servers` are those of which one takes writes; without them there is only the pool's own URL. If
    `renewed`, the whole pool is opened anew once a connection broke, met a server that takes no
    writes, or has one that was replaced. A connection is used for `lifetime_s`; 0: for ever.
    """

    servers: WritableServer | None = None
    renewed: bool = True
    lifetime_s: float = 0.0


class Pool:
    """Connections to the database `name`; without `failover` they are kept until they break."""

    def __init__(
        self,
        name: str,
        url: str,
        size: int,
        wait_s: float | None,
        connect_timeout_s: float,
        statements: Sequence[str],
        session: Mapping[str, str],
        failover: Failover | None,
    ) -> None:
        self.size = size
        self.was_open = False
        self.waits = DurationHistogram()
        self._name = name
        self._url = url
        self._wait_s = wait_s
        self._connect_timeout_s = connect_timeout_s
        self._statements = statements
        self._session = session
        self._failover = failover
        self._openings = Openings()
        self._pool: Any = None
        self._opened_s = 0.0
        self._renewal: asyncio.Future[None] | None = None

    @property
    def connections(self) -> Mapping[str, int]:
        """Open connections by state; lost ones are reopened, and counted, on demand."""
        idle = self._pool.get_idle_size() if self._pool else 0
        size = self._pool.get_size() if self._pool else 0
        return {"idle": idle, "used": size - idle}

    async def open(self) -> None:
        """Open all connections; retry while the database is down.

        A pool that was open before is of use again with its first connection, as after a failover;
        the others are opened on demand.
        """
        while self._pool is None:
            try:
                self._pool = await self._create()
            except _SCHEMA_MISSING as error:
                log("schema_missing", db=self._name, error=repr(error))
                await asyncio.sleep(_SCHEMA_RETRY_S)
            except (*BROKEN, asyncpg.PostgresError) as error:  # it may still be created
                log("database_down", level="warning", db=self._name, error=repr(error))
                await asyncio.sleep(_RETRY_S)
        self.was_open = True
        self._opened_s = time.monotonic()

    async def _create(self) -> Any:
        servers = self._failover.servers if self._failover else None
        opening = Opening(servers) if servers else None
        connect = opening.connect if opening else asyncpg.connect
        openings = self._openings = Openings()

        async def connection(*address: Any, **options: Any) -> Any:
            return await openings.connection(lambda: self._opened(connect(*address, **options)))

        try:
            pool = await asyncpg.create_pool(
                self._url,
                min_size=1 if self.was_open else self.size,
                max_size=self.size,
                timeout=self._connect_timeout_s,
                max_queries=_NEVER,
                max_inactive_connection_lifetime=0,
                max_cached_statement_lifetime=0,
                connect=connection,
                connection_class=ServerConnection,
                reset=_no_reset,
                server_settings=dict(self._session),
            )
        except BaseException:
            openings.end()
            raise
        if opening:
            opening.is_over = True
        return pool

    async def _opened(self, connecting: Awaitable[ServerConnection]) -> ServerConnection:
        """Prepare all statements on a new connection, within the timeout of a connection."""
        connection = await connecting
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._prepare_all(connection)
        except BaseException:
            connection.terminate()  # close() would wait for the server without end
            raise
        return connection

    async def _prepare_all(self, connection: ServerConnection) -> None:
        for statement in self._statements:
            await connection.executemany(statement, [])  # prepares and executes nothing
        # That leaves a transaction open, whose start would be now() of the first use.
        await connection.execute("SELECT 1")
        if self._failover:
            if connection.server is UNKNOWN:
                await connection.identify()
            connection.retire_within(self._failover.lifetime_s)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Any]:
        """Lend a connection; raises `Unreplicated` once a commit has not waited for a standby."""
        pool, connection = await self._acquired_in_time()
        try:
            if self._failover:
                with self._watched(pool, connection.itself):
                    yield connection
            else:
                yield connection
        except (asyncio.CancelledError, OSError, asyncpg.InternalClientError):
            connection.terminate()  # a response may still arrive on it
            raise
        finally:
            await pool.release(connection)

    @contextmanager
    def _watched(self, pool: Any, connection: ServerConnection) -> Iterator[None]:
        with connection.watched():
            try:
                yield
            except (*BROKEN, asyncpg.ReadOnlySQLTransactionError) as error:
                if not isinstance(error, _OF_ONE_STATEMENT):
                    self._renew(pool, error)
                raise
        if connection.unreplicated:
            raise Unreplicated("the commit did not wait for a standby")

    async def _acquired_in_time(self) -> tuple[Any, Any]:
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._acquire()
        finally:
            self.waits.observe(time.perf_counter() - began_s)

    async def _acquire(self) -> tuple[Any, Any]:
        """A connection that may be used, and its pool; during a renewal it waits for that."""
        while True:
            pool = self._pool
            if pool is None:
                assert self._renewal is not None, "not open"
                await asyncio.shield(self._renewal)
                continue
            try:
                connection = await pool.acquire()
            except BROKEN:
                if pool is self._pool:
                    raise
                continue  # it was renewed meanwhile
            if self._failover is None:
                return pool, connection
            itself = connection.itself
            try:
                if await self._is_usable(pool, itself, self._failover):
                    return pool, connection
            except BaseException:
                itself.terminate()
                raise
            itself.terminate()  # which also returns it to its pool

    async def _is_usable(self, pool: Any, connection: ServerConnection, failover: Failover) -> bool:
        """False if the connection's time or its server's has passed."""
        if pool is not self._pool or time.monotonic() >= connection.retire_at_s:
            return False
        if not connection.server.timeline:  # a standby when it was opened
            await connection.identify()
        servers = failover.servers if failover.renewed else None
        return servers is None or connection.server.timeline >= servers.newest_timeline

    def _renew(self, pool: Any, error: Exception) -> None:
        """Open the pool anew, unless another request has begun that."""
        if self._failover is None or not self._failover.renewed or pool is not self._pool:
            return
        log("pool_renewed", level="warning", db=self._name, error=repr(error))
        self._pool = None
        self._openings.end()
        pool.terminate()  # close() would wait for answers, for ever in a black hole
        loop = asyncio.get_running_loop()
        self._renewal = loop.create_task(self._reopen(), context=Context())

    async def _reopen(self) -> None:
        """Open; not more often than failed attempts are, if the server goes on to refuse writes."""
        await asyncio.sleep(self._opened_s + _RETRY_S - time.monotonic())
        await self.open()

    async def close(self) -> None:
        """Close all connections; terminate them after 0.3 s."""
        if self._renewal:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._openings.close()
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._pool.close()
        except BROKEN:
            self._pool.terminate()


async def _no_reset(_connection: Any) -> None:
    """Skip the reset of the session, whose state is never changed."""
