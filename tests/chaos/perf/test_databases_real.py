"""Each arm has a database and a Redis of its own, empty for each launch, and counted apart."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from chaos.perf.databases import ArmDatabases, arm_databases
from chaos.perf.service_file import Databases
from chaos.runtimes.embedded.guardian_client import guarded
from chaos.runtimes.environment import clean_environment

pytestmark = pytest.mark.real

ARMS = ("base", "head")
STATISTICS = "SELECT reltuples FROM pg_class WHERE relname = 'kept'"


@contextmanager
def started(tmp_path: Path) -> Iterator[ArmDatabases]:
    both = Databases(postgres=True, redis=True)
    log = tmp_path / "guardian.log"
    with (
        guarded(sys.executable, clean_environment(), log) as guardian,
        arm_databases(both, ARMS, guardian.folder, tmp_path) as databases,
    ):
        yield databases


def test_arms_share_nothing_and_inherit_nothing(tmp_path: Path) -> None:
    with started(tmp_path) as databases:
        for launch in range(2):
            databases.renew(ARMS)
            before = databases.counts("base")
            urls = databases.values("base")
            with psycopg.connect(urls["postgres_url"], autocommit=True) as connection:
                connection.execute("CREATE TABLE kept (launch int)")  # there is none of before
                connection.execute("INSERT INTO kept SELECT generate_series(1, 5)")
            with redis.Redis.from_url(urls["redis_url"]) as client:
                assert client.get("kept") is None
                client.set("kept", launch)
            after = databases.counts("base")
            risen = {name: after[name] - before[name] for name in after}
            assert risen.pop("Redis bytes") > 0
            assert risen.pop("Redis round trips") >= 2  # its handshake is beside them
            assert risen == {"SQL statements": 2, "SQL rows": 5, "Redis commands": 2}
            with redis.Redis.from_url(databases.values("head")["redis_url"]) as client:
                assert client.get("kept") is None
        assert databases.counts("head")["SQL statements"] == 0


def test_arms_that_are_asked_at_once_are_counted_apart(tmp_path: Path) -> None:
    asks = {"base": 10, "head": 20}

    def risen(databases: ArmDatabases, arm: str) -> dict[str, float]:
        before, urls = databases.counts(arm), databases.values(arm)
        begins.wait()
        with psycopg.connect(urls["postgres_url"], autocommit=True) as connection:
            for _ in range(asks[arm]):
                connection.execute("SELECT 1")
        with redis.Redis.from_url(urls["redis_url"]) as client:
            for _ in range(asks[arm]):
                client.get("nothing")
        ends.wait()
        after = databases.counts(arm)
        return {name: after[name] - before[name] for name in ("SQL statements", "Redis commands")}

    begins, ends = threading.Barrier(len(ARMS)), threading.Barrier(len(ARMS))
    with started(tmp_path) as databases, ThreadPoolExecutor(len(ARMS)) as threads:
        databases.renew(ARMS)
        counted = threads.map(risen, [databases] * len(ARMS), ARMS)
        assert [*counted] == [{"SQL statements": n, "Redis commands": n} for n in asks.values()]


def test_nothing_waits_for_a_disk_and_nothing_is_cleaned_up_meanwhile(tmp_path: Path) -> None:
    with started(tmp_path) as databases:
        databases.renew(ARMS)
        urls = databases.values("base")
        with psycopg.connect(urls["postgres_url"]) as connection:
            settings = connection.execute("SELECT name, setting FROM pg_settings").fetchall()
        assert {("fsync", "off"), ("autovacuum", "off")} <= {*settings}
        with redis.Redis.from_url(urls["redis_url"]) as client:
            assert client.config_get("appendonly") == {"appendonly": "no"}


def test_launches_begin_with_what_was_kept_and_not_with_what_became_of_it(tmp_path: Path) -> None:
    with started(tmp_path) as empty:
        empty.renew(ARMS)
        for arm in ARMS:
            with psycopg.connect(empty.values(arm)["postgres_url"]) as connection:
                connection.execute("CREATE TABLE kept (arm text)")
                connection.execute("INSERT INTO kept VALUES (%s)", [arm])
        forgotten = psycopg.connect(empty.values("base")["postgres_url"])
        seeded = empty.kept(ARMS)
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            forgotten.execute("SELECT 1")
        forgotten.close()
        for _ in range(2):
            seeded.renew(ARMS)
            assert seeded.counts("base")["SQL statements"] == 0
            for arm in ARMS:
                with psycopg.connect(seeded.values(arm)["postgres_url"]) as connection:
                    assert connection.execute("SELECT arm FROM kept").fetchall() == [(arm,)]
                    assert connection.execute(STATISTICS).fetchone() == (1,)
                    connection.execute("DELETE FROM kept")


def test_what_is_not_wanted_is_not_started(tmp_path: Path) -> None:
    with arm_databases(Databases(), ARMS, tmp_path, tmp_path) as databases:
        assert databases.values("base") == {}
        assert databases.counts("base") == {}
    assert not list(tmp_path.iterdir())
