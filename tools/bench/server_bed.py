"""Servers of the benchmark: databases that stay up, and measured servers on a core of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil
import psycopg
import redis

from chaos.perf.cores import Cores, move, on
from chaos.runtimes.embedded.binaries import postgres_install
from chaos.runtimes.embedded.bringup import databases, wait_for_replica
from chaos.runtimes.embedded.guardian_client import guarded
from chaos.runtimes.embedded.lab_processes import members
from chaos.runtimes.embedded.os_user import open_to, postgres_account, usable_install
from chaos.runtimes.embedded.part_commands import BuildContext
from chaos.runtimes.embedded.part_process import PartProcess, concurrently
from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.part_clients import http_status
from chaos.runtimes.topology import ROLES, WEB, dsn, led_by, link_port, port_names
from chaos.runtimes.trouble import readable
from tools.bench.arms import COLD_LINKS, HOT_LINKS, BenchArm, cold_code, hot_code

_NGINX = """
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    server {{
        listen {host}:{port} backlog=4096;
        location / {{ return 302 https://example.org/target; }}
    }}
}}
"""


@dataclass(frozen=True)
class MeasuredServer:
    """A measured server and its address."""

    process: psutil.Process
    address: tuple[str, int]


@dataclass
class ServerBed:
    """Primary, replica and Redis, on other cores than the measured one."""

    context: BuildContext
    cores: Cores
    hosted_by: str  # uvicorn or granian
    parts: dict[str, PartProcess]
    starts: int = 0

    def bring_up(self) -> None:
        """Start the databases, and insert links."""
        install, ports = self.context.install, self.context.ports
        for name in (*ROLES.values(), "redis"):
            self.parts[name] = self.context.part(name, {})
        concurrently(partial(databases, install, self.parts, ports), self.parts["redis"].start)
        with self._running(self._shortener(WEB[0], {})):
            pass  # the first one creates the schema
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for code, count in ((hot_code, HOT_LINKS), (cold_code, COLD_LINKS)):
                _insert(connection, [code(number) for number in range(count)])
            connection.execute("VACUUM ANALYZE links")
        wait_for_replica(self.parts[ROLES["replica"]], ports)

    @contextmanager
    def servers(self, *arms: BenchArm) -> Iterator[list[MeasuredServer]]:
        """Start the servers of two arms on the measured core, with an empty Redis."""
        with redis.Redis(HOST, self.context.ports["redis"]) as client:
            client.flushall()
        with ExitStack() as running:
            parts = [self._server(arm, name) for arm, name in zip(arms, WEB, strict=True)]
            yield [
                MeasuredServer(running.enter_context(self._running(part)), self._address(part.name))
                for part in parts
            ]

    def _server(self, arm: BenchArm, name: str) -> PartProcess:
        """Return the process that serves an arm, at the ports of that part."""
        match arm.kind:
            case "nginx":
                return self._nginx()
            case "bare":
                return self._bare(name)
            case "shortener":
                return self._shortener(name, arm.settings)

    def _address(self, part: str) -> tuple[str, int]:
        return HOST, self.context.ports[part]

    @contextmanager
    def _running(self, part: PartProcess) -> Iterator[psutil.Process]:
        with on(frozenset({self.cores.server})):
            part.start()
        assert part.process is not None
        try:
            yield psutil.Process(part.process.pid)
        finally:
            part.stop()

    @property
    def _dsn(self) -> str:
        return dsn((HOST, self.context.ports[ROLES["primary"]]))

    def _nginx(self) -> PartProcess:
        part = self._part("nginx", {})
        address = self._address("nginx")
        text = _NGINX.format(host=address[0], port=address[1])
        (part.folder / "nginx.conf").write_text(text, encoding="utf-8")
        part.ready = partial(_redirects, address)
        return part

    def _bare(self, name: str) -> PartProcess:
        part = self._part(name, {})
        address = self._address(name)
        part.command = self._hosted("bare", self.hosted_by, address)
        part.ready = partial(_redirects, address)
        return part

    def _shortener(self, name: str, settings: Mapping[str, str]) -> PartProcess:
        part = self._part(name, settings)
        if self.hosted_by != "uvicorn":
            part.command = self._hosted("web", self.hosted_by, self._address(name))
        return part

    def _hosted(self, app: str, server: str, address: tuple[str, int]) -> list[str]:
        where = f"{address[0]}:{address[1]}"
        return [self.context.python, "-m", "tools.bench.hosted", app, server, where]

    def _part(self, name: str, settings: Mapping[str, str]) -> PartProcess:
        """Return a part of that kind, in a new folder."""
        self.starts += 1
        folder = self.context.folder / f"start-{self.starts}"
        folder.mkdir(mode=0o711)
        return replace(self.context, folder=folder).part(name, settings)


@contextmanager
def server_bed(cores: Cores, hosted_by: str, logs: Path) -> Iterator[ServerBed]:
    """Start databases with links in them; remove everything afterwards."""
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as entered:
        ports = entered.enter_context(reserved(port_names()))
        direct = {link_port(link): ports[part] for link, part in led_by(ROLES).items()}
        guardian = entered.enter_context(
            guarded(sys.executable, clean_environment(), logs / "guardian.log")
        )
        with readable(guardian.folder):
            account = postgres_account()
            open_to(account, guardian.folder)
            install = usable_install(postgres_install(), account, guardian.folder)
            context = BuildContext(
                sys.executable, guardian.folder, logs, {**ports, **direct}, account, install
            )
            bed = ServerBed(context, cores, hosted_by, {})
            bed.bring_up()
        move(members(guardian.folder), cores.others)
        entered.enter_context(on(cores.others))
        yield bed


def _insert(connection: psycopg.Connection, codes: list[str]) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY links (code, url) FROM STDIN") as copy:
        for code in codes:
            copy.write_row((code, f"https://example.org/articles/{code}?from=newsletter"))


def _redirects(address: tuple[str, int]) -> bool:
    return http_status(address, "/any") == 302
