"""Start all parts in the order of their dependencies, concurrently where possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from chaos.runtimes.embedded import postgres
from chaos.runtimes.embedded.part_commands import Ports, write_nginx_conf
from chaos.runtimes.embedded.part_process import PartProcess, concurrently
from chaos.runtimes.embedded.ports import HOST
from chaos.runtimes.part_clients import fetch
from chaos.runtimes.topology import ROLES, SHORTENER, link_port

Parts = Mapping[str, PartProcess]


def bring_up(install: Path, parts: Parts, ports: Ports, populate: Callable[[], None]) -> None:
    """Start all parts; return when each is ready. The shortener migrates its schema itself.

    `populate` makes the links; it is called once Toxiproxy answers.
    """

    def toxiproxy() -> None:
        parts["toxiproxy"].start()
        populate()

    def nginx() -> None:
        write_nginx_conf(parts["nginx"], ports)
        parts["nginx"].start()

    concurrently(partial(databases, install, parts, ports), toxiproxy, nginx, parts["redis"].start)
    wait_for_replica(parts[ROLES["replica"]], ports)
    concurrently(*(parts[name].start for name in SHORTENER))


def databases(install: Path, parts: Parts, ports: Ports) -> None:
    """Start primary and replica, with a database for the application."""
    primary, replica = parts[ROLES["primary"]], parts[ROLES["replica"]]
    postgres.create(install, primary)
    postgres.copy(primary, replica)
    for name in ROLES.values():
        postgres.configure(parts[name], name, ports[name], ports[link_port("replication")])
    primary.start()
    postgres.prepare((HOST, ports[primary.name]))
    replica.start()


def wait_for_replica(replica: PartProcess, ports: Ports) -> None:
    """Wait until the replica has replayed all that the primary has by now."""
    end = fetch((HOST, ports[ROLES["primary"]]), "SELECT pg_current_wal_flush_lsn()")
    follower = (HOST, ports[replica.name])
    reached = "SELECT coalesce(pg_last_wal_replay_lsn() >= %s, false)"
    replica.wait_until(
        lambda: fetch(follower, reached, end) is True, "had all that the primary has"
    )
