"""Two servers of Postgres, the second a standby of the first, which a test may promote."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from chaos.runtimes.embedded.binaries import postgres_install
from chaos.runtimes.embedded.guardian_client import guarded
from chaos.runtimes.embedded.os_user import open_to, postgres_account, usable_install
from chaos.runtimes.embedded.part_process import PartProcess
from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.environment import clean_environment
from tests.support.shortener_process import eventually

NAMES = ("postgres-1", "postgres-2")
_INITDB = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"),
    *("--no-instructions", "--set=dynamic_shared_memory_type=mmap"),
)


@dataclass(frozen=True)
class PostgresServer:
    """One of the two."""

    process: PartProcess
    port: int

    @property
    def url(self) -> str:
        """URL of the database that the shortener uses, for the superuser."""
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement; return its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def value(self, statement: str) -> object:
        """Return the only value of a query."""
        ((value,),) = self.run(statement)
        return value

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server, and wait until new sessions have it."""
        self.run(f"ALTER SYSTEM SET {name} = '{value}'")
        self.run("SELECT pg_reload_conf()")
        eventually(lambda: self.value(f"SELECT current_setting('{name}')") == value)

    def promote(self) -> None:
        """Make a primary of a standby."""
        assert self.value("SELECT pg_promote()") is True

    def answers(self) -> bool:
        """Return True once it takes connections."""
        try:
            return self.value("SELECT 1") == 1
        except psycopg.OperationalError:
            return False


@contextmanager
def server_pair(logs: Path) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Start a primary and its standby, which has replayed all that there is."""
    guardian_log = logs / "guardian.log"
    with (
        reserved(NAMES) as ports,
        guarded(sys.executable, clean_environment(), guardian_log) as guardian,
    ):
        account = postgres_account()
        open_to(account, guardian.folder)
        install = usable_install(postgres_install(), account, guardian.folder)
        servers: list[PostgresServer] = []
        for name in NAMES:
            folder = guardian.folder / name
            folder.mkdir(mode=0o700)
            if account:
                account.give(folder)
            process = PartProcess(
                name=name,
                folder=folder,
                log=logs / f"{name}.log",
                command=[install / "bin" / "postgres", "-D", folder],
                ready=lambda: False,
                environment=clean_environment(),
                account=account,
            )
            server = PostgresServer(process, ports[name])
            process.ready = partial(PostgresServer.answers, server)
            servers.append(server)
        first, second = servers
        first.process.run([install / "bin" / "initdb", "-D", first.process.folder, *_INITDB])
        second.process.run(["cp", "-a", f"{first.process.folder}/.", second.process.folder])
        second.process.run(["touch", "standby.signal"])
        _configure(first, second)
        _configure(second, first)
        first.process.start()
        second.process.start()
        eventually(lambda: first.value("SELECT count(*) FROM pg_stat_replication") == 1)
        try:
            yield first, second
        finally:
            for server in servers:
                server.process.stop()


def _configure(server: PostgresServer, upstream: PostgresServer) -> None:
    lines = {
        "listen_addresses": HOST,
        "port": server.port,
        "unix_socket_directories": "",
        "cluster_name": server.process.name,
        "primary_conninfo": f"host={HOST} port={upstream.port} user=postgres "
        f"application_name={server.process.name}",
        "wal_retrieve_retry_interval": "200ms",
        "wal_keep_size": "64MB",
    }
    text = "".join(f"{name} = '{value}'\n" for name, value in lines.items())
    with (server.process.folder / "postgresql.conf").open("a") as conf:
        conf.write(text)
