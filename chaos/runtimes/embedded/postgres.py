"""Primary and replica: made, configured and prepared with Postgres' own programs."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

import psycopg

from chaos.runtimes.embedded.part_process import PartProcess
from chaos.runtimes.embedded.ports import HOST
from chaos.runtimes.readiness import Address

SUPERUSER = "postgres"
NAME = "linkstorm"  # of the application's user and of its database, which that user owns
SLOT = "replica"
CONNECT_TIMEOUT_S = 2
FILES = Path(__file__).parents[3] / "stack" / "postgres"

INITDB = (
    f"--username={SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    "--no-sync",
    "--no-clean",
    "--no-instructions",
    "--set=dynamic_shared_memory_type=mmap",
)


def dsn(address: Address, user: str = NAME, database: str = NAME) -> str:
    """The URL of a Postgres at this host and port, or of a link to one."""
    host, port = address
    return f"postgresql://{user}@{host}:{port}/{database}"


def create(install: Path, primary: PartProcess) -> None:
    """Make a cluster in the primary's folder; it need not survive a power cut before it starts.

    If initdb is killed it must not tidy up: the pid file names the shared memory to remove, and
    the rest is kept in files.
    """
    primary.run([install / "bin" / "initdb", f"--pgdata={primary.folder}", *INITDB])


def copy(primary: PartProcess, replica: PartProcess) -> None:
    """Make the replica from the primary, which must not have run yet.

    A copy of a cluster at rest is a base backup, without pg_basebackup's connection and checkpoint.
    """
    replica.run(["cp", "-a", f"{primary.folder}/.", replica.folder])
    replica.run(["touch", "standby.signal"])


def configure(part: PartProcess, port: int, upstream_port: int) -> None:
    """Write the configuration; a standby follows what listens at `upstream_port`."""
    upstream = f"host={HOST} port={upstream_port} user={SUPERUSER} application_name={SLOT}"
    ours = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": "",
        "primary_conninfo": upstream,
        "primary_slot_name": SLOT,
    }
    lines = [f"{name} = '{value}'" for name, value in ours.items()]
    common = (FILES / "postgresql.conf").read_text()
    (part.folder / "postgresql.conf").write_text("\n".join([common, *lines, ""]))


def prepare(address: Address) -> None:
    """Create the slot, the application's user and database: what needs a superuser."""
    with _connect(address, "postgres") as connection:
        for statement in (FILES / "prepare.sql").read_text().split(";"):
            connection.execute(statement.encode())
    with _connect(address, NAME) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")


def is_up(address: Address) -> bool:
    """Whether the server takes connections and queries."""
    try:
        return fetch(address, "SELECT true") is True
    except psycopg.OperationalError:
        return False


def fetch(address: Address, query: LiteralString, *values: object) -> object:
    """The one value that a query gives."""
    with _connect(address, "postgres") as connection:
        row = connection.execute(query, values or None).fetchone()
    return row[0] if row else None


def _connect(address: Address, database: str) -> psycopg.Connection:
    return psycopg.connect(
        dsn(address, SUPERUSER, database),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_S,
        sslmode="disable",
    )
