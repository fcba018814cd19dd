"""The schema, brought to what this release needs when a process starts.

Each migration is one transaction, together with the row that says it was applied. Of processes that
start at once an advisory lock lets one migrate, and the others find it done. The lock and the wait
for any table are short, and tried again: a migration that waits for a long query must not have all
other queries wait behind it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.infra.database import OUTAGES
from stack.shortener.infra.log import log

FOLDER = Path(__file__).parents[2] / "postgres" / "migrations"
_LOCK = 7_232_407_135_528_034  # of this application alone; any number does
_LOCK_WAIT_S = 2
_LONGEST_S = 600.0  # for one migration: a connection that hangs must not look like work
_RETRY_S = 0.25
_READ = "SELECT version, checksum FROM schema_migrations"
_TABLE = """CREATE TABLE IF NOT EXISTS schema_migrations (
  version    integer PRIMARY KEY,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)"""


class SchemaError(Exception):
    """The schema of the database is none that this release can work with."""


class _NotYet(Exception):
    """Migrations are missing, and somebody else is to apply them."""


@dataclass(frozen=True)
class Migration:
    """One step from a version of the schema to the next."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What tells whether a migration was changed after it was applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """The migrations of this release, in order; raises `SchemaError` if one is missing."""
    found = [
        Migration(int(path.name.partition("_")[0]), path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9]*_*.sql"))
    ]
    if not found or [one.version for one in found] != list(range(1, len(found) + 1)):
        names = ", ".join(one.name for one in found) or "none"
        raise SchemaError(f"the migrations in {folder} are not numbered from 1 on: {names}")
    return found


def missing(known: Sequence[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """The migrations not applied yet; raises `SchemaError` where the database is another's."""
    newest = max(applied, default=0)
    if newest > len(known):
        raise SchemaError(
            f"the database has schema version {newest}, and this release knows {len(known)}: "
            "it is older than the database; run the newer release"
        )
    for migration in known[:newest]:
        if applied.get(migration.version) != migration.checksum:
            raise SchemaError(
                f"migration {migration.name} is not the one that the database was made with: "
                "put back its text, and write what is to change as a new migration"
            )
    return list(known[newest:])


async def migrate(url: str, timeout_s: float, *, apply: bool = True) -> None:
    """Return once the database has this release's schema; wait for it while it is down.

    Raises `SchemaError` when waiting will not help. Without `apply` nothing is changed: the
    migrations are waited for.
    """
    known = read_migrations()
    while True:
        try:
            await _bring_up_to_date(known, url, timeout_s, apply)
        except OUTAGES as error:
            log("database_down", level="warning", db="primary", error=repr(error))
        except asyncpg.LockNotAvailableError:
            log("migration_waits", level="warning", behind="another migration, or a long query")
        except _NotYet as error:
            log("schema_missing", missing=str(error))
        else:
            return
        await asyncio.sleep(_RETRY_S)


async def _bring_up_to_date(
    known: Sequence[Migration], url: str, timeout_s: float, apply: bool
) -> None:
    connection = await _connect(url, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            todo = missing(known, await _applied(connection))
        if todo and not apply:
            raise _NotYet(", ".join(migration.name for migration in todo))
        while todo:
            async with asyncio.timeout(_LONGEST_S):
                todo = await _step(connection, known)
    finally:
        connection.terminate()


async def _connect(url: str, timeout_s: float) -> Any:
    try:
        return await asyncpg.connect(
            url,
            timeout=max(timeout_s, 1.0),
            statement_cache_size=0,
            server_settings={
                "application_name": "shortener-migrate",
                "lock_timeout": f"{_LOCK_WAIT_S * 1000:.0f}ms",
                "client_min_messages": "warning",
            },
        )
    except asyncpg.PostgresError as error:  # user or database may yet be made
        raise OSError(str(error)) from error


async def _step(connection: Any, known: Sequence[Migration]) -> list[Migration]:
    """Apply the first migration that is missing; those that are missing then."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_TABLE)
        todo = missing(known, await _applied(connection))
        if not todo:
            return []
        next_one = todo[0]
        try:
            await connection.execute(next_one.sql)
        except (*OUTAGES, asyncpg.LockNotAvailableError):
            raise
        except asyncpg.PostgresError as error:
            raise SchemaError(f"migration {next_one.name} failed: {error}") from error
        await connection.execute(
            "INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)",
            next_one.version,
            next_one.checksum,
        )
    log("migrated", version=next_one.version, name=next_one.name)
    return todo[1:]


async def _applied(connection: Any) -> dict[int, str]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return {}
    return {row["version"]: row["checksum"] for row in await connection.fetch(_READ)}
