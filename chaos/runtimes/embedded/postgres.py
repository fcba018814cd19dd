"""Primary and replica: created, configured and prepared with Postgres' own programs."""

from __future__ import annotations

from pathlib import Path

from chaos.runtimes.embedded.part_process import PartProcess
from chaos.runtimes.embedded.ports import HOST
from chaos.runtimes.part_clients import postgres_connection
from chaos.runtimes.topology import DATABASE, ROOT, SUPERUSER, Address

SLOT = "replica"
FILES = ROOT / "stack" / "postgres"

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


def create(install: Path, primary: PartProcess) -> None:
    """Make a cluster in the primary's folder, without fsync: it is new anyway.

    A killed initdb must not clean up: the pid file names the shared memory to remove, and the
    rest is in files.
    """
    primary.run([install / "bin" / "initdb", f"--pgdata={primary.folder}", *INITDB])


def copy(primary: PartProcess, replica: PartProcess) -> None:
    """Make the replica from the primary, which must not have run yet.

    A copy of a cluster at rest is a base backup, without pg_basebackup's connection and checkpoint.
    """
    replica.run(["cp", "-a", f"{primary.folder}/.", replica.folder])
    replica.run(["touch", "standby.signal"])


def configure(part: PartProcess, port: int, upstream_port: int) -> None:
    """Write the configuration; a standby follows the server at `upstream_port`."""
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
    """Create the slot, and the application's user and database: all that takes a superuser."""
    with postgres_connection(address, "postgres") as connection:
        for statement in (FILES / "prepare.sql").read_text().split(";"):
            connection.execute(statement.encode())
    with postgres_connection(address, DATABASE) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
