"""The command, folder and environment of each embedded part."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template

from chaos.model.stack import Endpoints, PartName, Settings
from chaos.runtimes.embedded import binaries
from chaos.runtimes.embedded.os_user import OsUser
from chaos.runtimes.embedded.part_process import PartProcess
from chaos.runtimes.embedded.ports import HOST
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.part_clients import is_ready
from chaos.runtimes.topology import (
    PARTS_AND_THIRD,
    ROLES,
    ROOT,
    SERVERS,
    SETTING_PREFIX,
    SHORTENER,
    endpoints_at,
    led_by,
    link_port,
)

PROGRAM, PRELOADED = "stack.shortener", "stack.shortener.preload"

Ports = Mapping[str, int]


@dataclass(frozen=True)
class BuildContext:
    """Everything that making a part takes."""

    python: str
    folder: Path
    logs: Path
    ports: Ports
    account: OsUser | None
    install: Path  # of Postgres

    def part(self, name: str, settings: Settings) -> PartProcess:
        """A part that has not been started yet, with its folder."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        account = self.account if name in SERVERS else None
        if account:
            account.give(folder)
        return PartProcess(
            name=name,
            folder=folder,
            log=self.logs / f"{name}.log",
            command=self._command(name, folder),
            ready=partial(is_ready, name, (HOST, self.ports[name])),
            environment=environment(name, self.ports, settings),
            account=account,
            # To Postgres SIGTERM means to wait until all clients have gone.
            stop_signal=signal.SIGINT if name in SERVERS else signal.SIGTERM,
        )

    def _command(self, name: str, folder: Path) -> Sequence[str | Path]:
        port = str(self.ports[name])
        match name:
            case "postgres-1" | "postgres-2" | "postgres-3":
                return [self.install / "bin" / "postgres", "-D", folder]
            case "redis":
                conf = ROOT / "stack" / "redis" / "redis.conf"
                return [binaries.valkey(), conf, "--bind", HOST, "--port", port]
            case "toxiproxy":
                server = binaries.toxiproxy()
                program = [server] if server else [self.python, "-m", "chaos.toxiproxy"]
                return [*program, "-host", HOST, "-port", port, "-proxy-metrics"]
            case "nginx":
                return [binaries.nginx(), "-p", folder, "-c", "nginx.conf", "-g", nginx_globals()]
            case _:
                return [self.python, "-m", PROGRAM, "worker" if name == "worker" else "web"]


def environment(name: str, ports: Ports, settings: Settings) -> dict[str, str]:
    """A part's environment; the shortener's has its addresses and the settings of the arm."""
    if name not in SHORTENER:
        return clean_environment()
    links = endpoints(ports).links
    ours = {
        "NAME": name,
        "LISTEN": f"{HOST}:{ports[name]}",
        "PRIMARY_URL": links["worker-primary" if name == "worker" else "primary"],
        "REPLICA_URL": links["replica"],
        "CACHE_URL": links["cache"],
        "QUEUE_URL": links["queue"],
        "API_RATE_PER_S": "0",  # all the traffic of a lab comes from one address
        "DRAIN_S": "0.02",  # a lab is restarted between arms
    }
    return clean_environment() | {
        SETTING_PREFIX + key: value for key, value in {**ours, **settings}.items()
    }


def endpoints(ports: Ports) -> Endpoints:
    """URLs of everything on this machine."""
    return endpoints_at({name: (HOST, port) for name, port in ports.items()})


def proxies(ports: Ports) -> dict[str, tuple[str, str]]:
    """Each link's listening address, and the upstream address that it has at first."""
    upstream = upstreams(ports)
    return {
        link: (f"{HOST}:{ports[link_port(link)]}", upstream[part])
        for link, part in led_by(ROLES).items()
    }


def upstreams(ports: Ports) -> dict[PartName, str]:
    """Addresses at which Toxiproxy reaches each part."""
    return {part: f"{HOST}:{ports[part]}" for part in PARTS_AND_THIRD}


def write_nginx_conf(nginx: PartProcess, ports: Ports) -> None:
    """Fill the addresses into the template."""
    template = Template((ROOT / "stack" / "nginx" / "nginx.conf").read_text())
    addresses = {
        "LISTEN": f"{HOST}:{ports['nginx']}",
        "WEB_1": f"{HOST}:{ports['web-1']}",
        "WEB_2": f"{HOST}:{ports['web-2']}",
    }
    (nginx.folder / "nginx.conf").write_text(template.safe_substitute(addresses))


def nginx_globals() -> str:
    """Directives on the command line; root's nginx defaults to a user that may not exist here."""
    return "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
