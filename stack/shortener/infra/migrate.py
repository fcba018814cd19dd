"""Migrate the schema to this release when a process starts.

A migration is one transaction, which also inserts its row in `schema_migrations`. Of processes that
start at once an advisory lock lets one migrate. Waits for locks are short and retried: a migration
that waits for a long query must not block all other queries behind it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.infra.database import OUTAGES
from stack.shortener.infra.log import log
from stack.shortener.infra.servers import WritableServer

Connect = Callable[..., Awaitable[Any]]

FOLDER = Path(__file__).parents[2] / "postgres" / "migrations"
_LOCK = 7_232_407_135_528_034  # any number, reserved for this application
_LOCK_WAIT_S = 2
_MIGRATION_TIMEOUT_S = 600.0  # for one migration, in case its connection hangs
_RETRY_S = 0.25
_READ = "SELECT version, checksum FROM schema_migrations"
_TABLE = """CREATE TABLE IF NOT EXISTS schema_migrations (
  version    integer PRIMARY KEY,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)"""


class SchemaError(Exception):
    """The schema of the database does not fit this release."""


class _Unapplied(Exception):
    """Migrations are missing, and this process must not apply them."""


@dataclass(frozen=True)
class Migration:
    """One step from a version of the schema to the next."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Checksum, to detect a migration that was changed after it was applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Read the migrations of this release, in order; raises `SchemaError` if one is missing."""
    found = [
        Migration(int(path.name.partition("_")[0]), path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9]*_*.sql"))
    ]
    if not found or [one.version for one in found] != list(range(1, len(found) + 1)):
        names = ", ".join(one.name for one in found) or "none"
        raise SchemaError(f"the migrations in {folder} are not numbered from 1 on: {names}")
    return found


def missing(known: Sequence[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """Return the migrations not applied yet; raises `SchemaError` if the applied ones differ."""
    newest = max(applied, default=0)
    if newest > len(known):
        raise SchemaError(
            f"the database has schema version {newest}, this release has {len(known)}: "
            "run the newer release"
        )
    for migration in known[:newest]:
        if applied.get(migration.version) != migration.checksum:
            raise SchemaError(
                f"migration {migration.name} was changed after it was applied: "
                "restore it, and put the change into a new migration"
            )
    return list(known[newest:])


async def migrate(
    url: str, timeout_s: float, *, apply: bool = True, servers: WritableServer | None = None
) -> None:
    """Return once the database has this release's schema; retry while it is down.

    Raises `SchemaError` if retrying will not help. Without `apply` wait for another process to
    migrate. With `servers` the one that takes writes is migrated.
    """
    known = read_migrations()
    connect = servers.connect if servers else asyncpg.connect
    while True:
        try:
            await _migrate_once(known, partial(connect, url), timeout_s, apply)
        except OUTAGES as error:
            log("database_down", level="warning", db="primary", error=repr(error))
        except asyncpg.LockNotAvailableError:
            log("migration_waiting", level="warning", behind="another migration, or a long query")
        except _Unapplied as error:
            log("schema_missing", missing=str(error))
        else:
            return
        await asyncio.sleep(_RETRY_S)


async def _migrate_once(
    known: Sequence[Migration], connect: Connect, timeout_s: float, apply: bool
) -> None:
    connection = await _connected(connect, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            pending = missing(known, await _applied(connection))
        if pending and not apply:
            raise _Unapplied(", ".join(migration.name for migration in pending))
        while pending:
            async with asyncio.timeout(_MIGRATION_TIMEOUT_S):
                pending = await _apply_next(connection, known)
    finally:
        connection.terminate()


async def _connected(connect: Connect, timeout_s: float) -> Any:
    try:
        return await connect(
            timeout=max(timeout_s, 1.0),
            statement_cache_size=0,
            server_settings={
                "application_name": "shortener-migrate",
                "lock_timeout": f"{_LOCK_WAIT_S * 1000:.0f}ms",
                "client_min_messages": "warning",
            },
        )
    except asyncpg.PostgresError as error:  # user or database may still be created
        raise OSError(str(error)) from error


async def _apply_next(connection: Any, known: Sequence[Migration]) -> list[Migration]:
    """Apply the first pending migration; return those that are left."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_TABLE)
        pending = missing(known, await _applied(connection))
        if not pending:
            return []
        migration = pending[0]
        try:
            await connection.execute(migration.sql)
        except (*OUTAGES, asyncpg.LockNotAvailableError):
            raise
        except asyncpg.PostgresError as error:
            raise SchemaError(f"migration {migration.name} failed: {error}") from error
        await connection.execute(
            "INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)",
            migration.version,
            migration.checksum,
        )
    log("migrated", version=migration.version, name=migration.name)
    return pending[1:]


async def _applied(connection: Any) -> dict[int, str]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return {}
    return {row["version"]: row["checksum"] for row in await connection.fetch(_READ)}
