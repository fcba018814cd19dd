"""Migrations: applied once, in order, and never to the database of another release."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from chaos.model.stack import Stack
from stack.shortener.infra import migrate as module
from stack.shortener.infra.migrate import Migration, SchemaError, migrate, missing, read_migrations
from tests.support.databases import empty_database
from tests.support.shortener_process import process

FIRST, SECOND = Migration(1, "0001_a.sql", "SELECT 1"), Migration(2, "0002_b.sql", "SELECT 2")
KNOWN = [FIRST, SECOND]

real = pytest.mark.real


def test_migrations_are_applied_in_order_from_where_the_database_is() -> None:
    assert missing(KNOWN, {}) == KNOWN
    assert missing(KNOWN, {1: FIRST.checksum}) == [SECOND]
    assert missing(KNOWN, {1: FIRST.checksum, 2: SECOND.checksum}) == []


def test_a_database_newer_than_the_release_is_refused() -> None:
    with pytest.raises(SchemaError, match="run the newer release"):
        missing([FIRST], {1: FIRST.checksum, 2: SECOND.checksum})


def test_a_migration_that_was_changed_after_it_was_applied_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"0001_a\.sql was changed"):
        missing(KNOWN, {1: "another"})


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "0003_c.sql").write_text("SELECT 3")
    with pytest.raises(SchemaError, match="not numbered from 1 on"):
        read_migrations(tmp_path)


def test_this_release_has_its_migrations() -> None:
    assert read_migrations()[0].version == 1


@pytest.fixture
def empty(stack: Stack) -> Iterator[str]:
    with empty_database(stack) as url:
        yield url


def versions(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT version FROM schema_migrations ORDER BY 1")
        return [version for (version,) in rows]


@real
def test_of_many_that_start_at_once_one_migrates(
    empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(migrate(empty, 5) for _ in range(12)))

    asyncio.run(all_at_once())
    newest = len(read_migrations())
    assert versions(empty) == list(range(1, newest + 1))
    assert capsys.readouterr().out.count('"migrated"') == newest


@real
def test_a_migration_that_fails_leaves_nothing_behind(
    empty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE here (a int); CREATE TABLE here (a int)")
    monkeypatch.setattr(module, "read_migrations", lambda: read_migrations(tmp_path))
    with pytest.raises(SchemaError, match=r'0001_a.sql failed: relation "here" already exists'):
        asyncio.run(migrate(empty, 5))
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT to_regclass('here')").fetchone() == (None,)


@real
def test_a_migration_waits_for_a_long_query_without_blocking_others(
    empty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE here (a int)")
    monkeypatch.setattr(module, "read_migrations", lambda: read_migrations(tmp_path))
    monkeypatch.setattr(module, "_LOCK_WAIT_S", 0.1)
    asyncio.run(migrate(empty, 5))
    (tmp_path / "0002_b.sql").write_text("ALTER TABLE here ADD b int")

    async def migrate_meanwhile() -> None:
        with psycopg.connect(empty) as long:
            long.execute("SELECT FROM here")
            migrating = asyncio.create_task(migrate(empty, 5))
            await asyncio.sleep(0.5)
            assert not migrating.done()
            with psycopg.connect(empty) as other:
                other.execute("SET statement_timeout = '1s'")
                other.execute("SELECT FROM here")
        await asyncio.wait_for(migrating, 5)

    asyncio.run(migrate_meanwhile())
    assert versions(empty) == [1, 2]
    assert "migration_waiting" in capsys.readouterr().out


@real
def test_without_leave_to_migrate_the_schema_is_waited_for(empty: str) -> None:
    async def wait_for_another() -> None:
        waiting = asyncio.create_task(migrate(empty, 5, apply=False))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await migrate(empty, 5)
        await asyncio.wait_for(waiting, 5)

    asyncio.run(wait_for_another())


@real
@pytest.mark.parametrize("kind", ["web", "worker"])
def test_a_process_ends_with_1_and_the_reason_on_a_database_that_is_too_new(
    empty: str, kind: str
) -> None:
    asyncio.run(migrate(empty, 5))
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (99, '')")
    with process(kind, {"SHORTENER_PRIMARY_URL": empty}) as started:
        _, said = started.popen.communicate(timeout=15)
    assert started.popen.returncode == 1
    assert said.startswith("the database has schema version 99, this release has ")
    assert "Traceback" not in said


@real
def test_a_command_migrates_and_ends(empty: str) -> None:
    with process("migrate", {"SHORTENER_PRIMARY_URL": empty}) as started:
        said, _ = started.popen.communicate(timeout=15)
    assert (started.popen.returncode, "migrated" in said) == (0, True)
    assert versions(empty) == list(range(1, len(read_migrations()) + 1))


@real
def test_a_start_on_a_database_that_is_up_to_date_queries_once_and_takes_no_lock(
    empty: str,
) -> None:
    asyncio.run(migrate(empty, 5))

    async def start_beside_a_lock() -> float:
        with psycopg.connect(empty) as holder:
            holder.execute("SELECT pg_advisory_xact_lock(%s)", [module._LOCK])
            started_s = time.monotonic()
            await migrate(empty, 5)
            return time.monotonic() - started_s

    assert asyncio.run(start_beside_a_lock()) < 1
