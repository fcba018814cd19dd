"""Servers of Postgres and their roles, which change at a failover.

A connection learns once, when it opens, which server it has and on which timeline, so an answer can
name them without a query of its own.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]

# The timeline of the position and not that of pg_control_checkpoint(), which is the old one until
# the first checkpoint after a promotion. A standby has no position of its own.
IDENTITY = """SELECT current_setting('cluster_name'), inet_server_port(),
NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off',
CASE WHEN pg_is_in_recovery() THEN '0'
  ELSE left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) END"""
_SYNC_WAIT = "SyncRepWaitForLSN"  # the function, as the message itself may be in any language


class Server(NamedTuple):
    """The server of a connection: its name, its timeline (0: none yet), and if it takes writes."""

    name: str
    timeline: int
    takes_writes: bool


UNKNOWN = Server("unknown", 0, takes_writes=False)


class ServerConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that knows its server, its end, and a commit that did not wait for a standby."""

    server = UNKNOWN
    url = ""
    retire_at_s = math.inf
    unreplicated = False

    @property
    def itself(self) -> ServerConnection:
        """The connection behind a pool's proxy, which a renewal of the pool empties."""
        return self

    async def identify(self) -> None:
        """Ask the server who it is."""
        name, port, takes_writes, timeline = await self.fetchrow(IDENTITY)
        self.server = Server(name or str(port or "unknown"), int(timeline, 16), takes_writes)

    def retire_within(self, lifetime_s: float) -> None:
        """Set its end in the second half of its life, so that not all end at once; 0: never."""
        if lifetime_s:
            self.retire_at_s = time.monotonic() + lifetime_s * random.uniform(0.5, 1.0)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notice if a commit stops waiting for its standby."""
        self.unreplicated = False
        self.add_log_listener(self._notice)
        try:
            yield
        finally:
            self.remove_log_listener(self._notice)

    def _notice(self, _: object, message: Any) -> None:
        """A cancelled wait is a warning; the statement then succeeds, but on this server only."""
        if message.as_dict().get("server_source_function") == _SYNC_WAIT:
            self.unreplicated = True


class NoWritableServer(OSError):
    """No server takes writes now."""


@dataclass
class WritableServer:
    """Connects to whichever of several servers takes writes.

    All are asked at once, each within `timeout_s`: libpq's and asyncpg's way, one after the other
    within one timeout, ends at a first server that swallows packets, or at a proxy whose server is
    gone. Of two that take writes the one with the higher timeline was promoted later; one that is
    behind a timeline seen before is refused, even if it is the only one that answers.
    """

    urls: Sequence[str]
    timeout_s: float
    newest_timeline: int = 0

    async def connect(self, _url: str, **options: Any) -> ServerConnection:
        """Open a connection; raises `NoWritableServer`."""
        tasks = [asyncio.create_task(self._open(url, options)) for url in self.urls]
        chosen = None
        try:
            await asyncio.wait(tasks)
            chosen = self._chosen([task.result() for task in tasks if not task.exception()])
            if chosen is None:
                raise NoWritableServer("; ".join(map(_state, tasks)))
            self.newest_timeline = chosen.server.timeline
            return chosen
        finally:
            _discard(tasks, chosen)

    async def connect_to(self, url: str, **options: Any) -> ServerConnection:
        """Open a connection to one of the servers; raises `NoWritableServer`."""
        connection = await self._open(url, options)
        if self._chosen([connection]) is None:
            connection.terminate()
            raise NoWritableServer("{} on timeline {}, writes: {}".format(*connection.server))
        return connection

    async def _open(self, url: str, options: dict[str, Any]) -> ServerConnection:
        async with asyncio.timeout(self.timeout_s):
            connection: ServerConnection = await asyncpg.connect(
                url,
                **{**options, "timeout": self.timeout_s, "connection_class": ServerConnection},
            )
            try:
                await connection.identify()
            except BaseException:
                connection.terminate()
                raise
        connection.url = url
        return connection

    def _chosen(self, opened: Iterable[ServerConnection]) -> ServerConnection | None:
        fit = [
            connection
            for connection in opened
            if connection.server.takes_writes and connection.server.timeline >= self.newest_timeline
        ]
        return max(fit, key=lambda each: each.server.timeline, default=None)


@dataclass
class Opening:
    """Connects the pool that opens: all servers are asked for its first connection only.

    Asking all of them for each of many connections at once is too much work for a busy machine. A
    pool that is open, `is_over`, has all asked again, since roles may have changed.
    """

    servers: WritableServer
    is_over: bool = False
    _found: str = ""

    async def connect(self, url: str, **options: Any) -> ServerConnection:
        """Open a connection; raises `NoWritableServer`."""
        if self._found and not self.is_over:
            return await self.servers.connect_to(self._found, **options)
        connection = await self.servers.connect(url, **options)
        self._found = connection.url
        return connection


def _discard(tasks: Iterable[asyncio.Task[ServerConnection]], chosen: object) -> None:
    for task in tasks:
        if not task.done():
            task.cancel()
        elif not task.cancelled() and not task.exception() and task.result() is not chosen:
            task.result().terminate()


def _state(task: asyncio.Task[ServerConnection]) -> str:
    error = task.exception()
    return repr(error) if error else "{} on timeline {}, writes: {}".format(*task.result().server)
