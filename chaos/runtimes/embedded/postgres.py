"""The servers of Postgres: made, configured, rewound and copied with its own programs."""

from __future__ import annotations

import signal
from pathlib import Path

from chaos.model.stack import ServerName, StackError
from chaos.runtimes.embedded.part_process import PartProcess
from chaos.runtimes.embedded.ports import HOST
from chaos.runtimes.part_clients import fetch, postgres_connection
from chaos.runtimes.topology import DATABASE, ROOT, SUPERUSER, Address, slot

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


def configure(
    part: PartProcess, server: ServerName, port: int, upstream_port: int, **settings: str
) -> None:
    """Write the configuration; as standby it follows the server at `upstream_port`."""
    ours = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": "",
        "primary_conninfo": f"{_conninfo(upstream_port)} application_name={server}",
        "primary_slot_name": slot(server),
        **settings,
    }
    lines = [f"{name} = '{value}'" for name, value in ours.items()]
    common = (FILES / "postgresql.conf").read_text()
    (part.folder / "postgresql.conf").write_text("\n".join([common, *lines, ""]))


def start_standby(part: PartProcess, server: ServerName, port: int, upstream_port: int) -> None:
    """Start a server that was rewound or copied, as standby; return when it is ready.

    Such a start would sync every file, which takes seconds where others write to the disk. None of
    it is new to the lab, so it syncs only what it writes from then on.
    """
    part.run(["touch", "standby.signal"])
    configure(part, server, port, upstream_port, fsync="off")
    part.start()
    configure(part, server, port, upstream_port)
    assert part.process is not None
    part.process.send_signal(signal.SIGHUP)
    part.wait_until(lambda: fetch((HOST, port), "SHOW fsync") == "on", "synced what it writes")


def rewind(install: Path, part: PartProcess, server: ServerName, primary_port: int) -> None:
    """Take back what a stopped server wrote and the primary lacks, and make it a standby.

    It gets the primary's files along, its configuration among them. What cannot be rewound, since
    log is missing, is copied anew.
    """
    data, source = f"--target-pgdata={part.folder}", f"--source-server={_source(primary_port)}"
    try:
        part.run([install / "bin" / "pg_rewind", data, source, "--no-sync"])
    except StackError as failed:
        part.note(f"{failed}\npg_rewind failed: {server} is copied from the primary")
        part.run(["find", part.folder, "-mindepth", "1", "-delete"])
        back_up(install, part, server, primary_port)


def back_up(install: Path, part: PartProcess, server: ServerName, primary_port: int) -> None:
    """Copy a primary that runs into a server's empty folder, from its slot on."""
    part.run(
        [
            install / "bin" / "pg_basebackup",
            f"--pgdata={part.folder}",
            f"--dbname={_source(primary_port)}",
            f"--slot={slot(server)}",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
        ]
    )


def _source(port: int) -> str:
    return f"{_conninfo(port)} dbname=postgres"


def _conninfo(port: int) -> str:
    return f"host={HOST} port={port} user={SUPERUSER}"


def prepare(address: Address) -> None:
    """Create the slot, and the application's user and database: all that takes a superuser."""
    with postgres_connection(address, "postgres") as connection:
        for statement in (FILES / "prepare.sql").read_text().split(";"):
            connection.execute(statement.encode())
    with postgres_connection(address, DATABASE) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
