"""Servers for the arms: one Postgres with a database for each arm, and a Redis for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from chaos.model.stack import ServerName
from chaos.perf.service_file import Databases
from chaos.runtimes import server_queries
from chaos.runtimes.embedded import postgres
from chaos.runtimes.embedded.binaries import postgres_install
from chaos.runtimes.embedded.os_user import open_to, postgres_account, usable_install
from chaos.runtimes.embedded.part_commands import BuildContext
from chaos.runtimes.embedded.part_process import PartProcess
from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.part_clients import postgres_connection
from chaos.runtimes.stack_counters import OVERHEAD
from chaos.runtimes.topology import DATABASE, dsn

PRIMARY: ServerName = "postgres-1"
# A disk and a cleaning up that comes when it likes would hit one arm and not another.
UNTROUBLED = {"fsync": "off", "autovacuum": "off"}
EMPTY = "template1"
CUT_OFF = "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = %s"
CUT_OFF_MS = 5000
STATEMENTS = """
    SELECT coalesce(sum(calls), 0)::float8, coalesce(sum(rows), 0)::float8
    FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid WHERE datname = %s
"""


@dataclass(frozen=True)
class ArmDatabases:
    """The running servers, and the address of each arm's own.

    Those that are seeded begin each launch as they were kept, and not empty.
    """

    postgres_port: int | None
    redis_ports: Mapping[str, int]
    are_seeded: bool = False

    def values(self, arm: str) -> dict[str, str]:
        """Values for the placeholders of an arm."""
        values = {}
        if self.postgres_port is not None:
            values["postgres_url"] = dsn((HOST, self.postgres_port), DATABASE, _database(arm))
        if arm in self.redis_ports:
            values["redis_url"] = f"redis://{HOST}:{self.redis_ports[arm]}/0"
        return values

    def renew(self, arms: Sequence[str]) -> None:
        """Give every arm a new database and an empty Redis: no launch inherits from another."""
        if self.postgres_port is not None:
            with postgres_connection((HOST, self.postgres_port), "postgres") as connection:
                for arm in arms:
                    name = _database(arm)
                    _renew(connection, name, _seeded(name) if self.are_seeded else EMPTY)
        for arm in arms:
            if arm in self.redis_ports:
                with redis.Redis(HOST, self.redis_ports[arm]) as client:
                    client.flushall()

    def kept(self, arms: Sequence[str]) -> ArmDatabases:
        """Keep the arms' databases as they are: each launch begins with a copy from now on.

        Whoever is still connected is cut off. All is vacuumed first, so that no launch does it.
        """
        if self.postgres_port is None:
            return self
        address = HOST, self.postgres_port
        with postgres_connection(address, "postgres") as connection:
            for name in map(_database, arms):
                connection.execute(CUT_OFF, [CUT_OFF_MS, name])
                with postgres_connection(address, name) as own:
                    own.execute("VACUUM (FREEZE, ANALYZE)")
                _rename(connection, name, _seeded(name))
        return replace(self, are_seeded=True)

    def counts(self, arm: str) -> dict[str, float]:
        """Counts of an arm's use of its databases so far."""
        counts: dict[str, float] = {}
        if self.postgres_port is not None:
            with postgres_connection((HOST, self.postgres_port), DATABASE) as connection:
                row = connection.execute(STATEMENTS, [_database(arm)]).fetchone()
            assert row is not None
            counts |= {"SQL statements": row[0], "SQL rows": row[1]}
        if arm in self.redis_ports:
            counts |= _redis_counts(self.redis_ports[arm])
        return counts


@contextmanager
def arm_databases(
    wanted: Databases, arms: Sequence[str], folder: Path, logs: Path
) -> Iterator[ArmDatabases]:
    """Start what is wanted, in a guarded folder: its guardian removes what killed servers leave."""
    with reserved([PRIMARY, *arms]) as ports, ExitStack() as running:
        if wanted.postgres:
            running.enter_context(_postgres(folder, logs, ports[PRIMARY]))
        if wanted.redis:
            for arm in arms:
                running.enter_context(_redis(folder / f"redis-{arm}", logs, ports[arm]))
        yield ArmDatabases(
            ports[PRIMARY] if wanted.postgres else None,
            {arm: ports[arm] for arm in arms} if wanted.redis else {},
        )


@contextmanager
def _postgres(folder: Path, logs: Path, port: int) -> Iterator[None]:
    account = postgres_account()
    open_to(account, folder)
    install = usable_install(postgres_install(), account, folder)
    context = BuildContext(sys.executable, folder, logs, {PRIMARY: port}, account, install)
    part = context.part(PRIMARY, {})
    postgres.create(install, part)
    postgres.configure(part, PRIMARY, port, port, **UNTROUBLED)
    with _running(part):
        postgres.prepare((HOST, port))
        with postgres_connection((HOST, port), "postgres") as connection:  # there is no replica
            connection.execute(server_queries.UNUSED_SLOTS)
        yield


@contextmanager
def _redis(folder: Path, logs: Path, port: int) -> Iterator[None]:
    folder.mkdir(mode=0o700)
    context = BuildContext(sys.executable, folder, logs, {"redis": port}, None, Path())
    part = context.part("redis", {})
    part.command = [*part.command, "--appendonly", "no"]
    with _running(part):
        yield


@contextmanager
def _running(part: PartProcess) -> Iterator[None]:
    """Start a server, and kill it: its data is thrown away."""
    try:
        part.start()
        yield
    finally:
        part.kill()


def _database(arm: str) -> str:
    return f"{DATABASE}_{arm}"


def _seeded(name: str) -> str:
    return f"{name}_seeded"


def _renew(connection: psycopg.Connection, name: str, like: str) -> None:
    quoted, owner, template = map(sql.Identifier, (name, DATABASE, like))
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))
    make = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
    connection.execute(make.format(quoted, owner, template))


def _rename(connection: psycopg.Connection, old: str, new: str) -> None:
    names = map(sql.Identifier, (old, new))
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


def _redis_counts(port: int) -> dict[str, float]:
    """Counts of a Redis; a pipeline that arrives as one is one round trip."""
    with redis.Redis(HOST, port) as client:
        told = client.info("stats", "commandstats")
    own = {name: stat for name, stat in told.items() if name.startswith("cmdstat_")}
    return {
        "Redis commands": _commands(own),
        "Redis round trips": float(told["total_reads_processed"]),
        "Redis bytes": float(told["total_net_input_bytes"] + told["total_net_output_bytes"]),
    }


def _commands(stats: Mapping[str, Mapping[str, float]]) -> float:
    """Commands but those that set a connection up or watch the server."""
    return float(
        sum(
            stat["calls"]
            for name, stat in stats.items()
            if not name.removeprefix("cmdstat_").startswith(OVERHEAD)
        )
    )
