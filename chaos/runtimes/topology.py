"""What the embedded stack is made of: parts, links, addresses, and the command of each part."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template

from chaos.model.stack import Endpoints, Settings
from chaos.runtimes import readiness
from chaos.runtimes.embedded import binaries, postgres
from chaos.runtimes.embedded.os_user import OsUser
from chaos.runtimes.embedded.part_process import PartProcess
from chaos.runtimes.embedded.ports import HOST
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.readiness import Address

DATABASES = ("primary", "replica")
WEB = ("web-1", "web-2")
SHORTENER = (*WEB, "worker")
PARTS = (*DATABASES, "redis", "toxiproxy", "nginx", *SHORTENER)
LINKS = {
    "cache": "redis",
    "queue": "redis",
    "primary": "primary",
    "replica": "replica",
    "worker-primary": "primary",
    "replication": "primary",
}
PROGRAM, PRELOADED = "stack.shortener", "stack.shortener.preload"
PREFIX = "SHORTENER_"
NO_SUCH_PAGE = "/no/such/page"  # answered by a web process alone: two segments are no code
ROOT = Path(__file__).parents[2]

# Settings that the worker does not know, or that mean nothing to it.
WEB_ONLY = (
    "API_", "BREAKER_", "BULK_", "CACHE_", "CLICK_ATTEMPTS", "CLICK_BATCH", "CLICK_BUFFER",
    "CLICK_FLUSH_", "CLICK_MODE", "CLICK_STREAM_", "CLICK_WAIT_", "CODE_", "DRAIN_", "ERROR_",
    "FILL_", "MOST_", "NEAR_", "NEGATIVE_", "POOL_", "PRIMARY_POOL_", "PUBLIC_", "READY_",
    "REFUSE_", "REPLICA_", "REQUEST_", "REQUIRE_", "RETRY_", "TRUSTED_", "VERSION_", "XFETCH_",
)  # fmt: skip

Ports = Mapping[str, int]


def port_names() -> Sequence[str]:
    """Everything that listens: each part, and each link."""
    return [*PARTS, *(link_port(link) for link in LINKS)]


def link_port(link: str) -> str:
    """The name of a link's port: some links are called like the part they lead to."""
    return f"link {link}"


def proxies(ports: Ports) -> dict[str, tuple[str, str]]:
    """Each link's listening address and the address it leads to."""
    return {
        link: (f"{HOST}:{ports[link_port(link)]}", f"{HOST}:{ports[part]}")
        for link, part in LINKS.items()
    }


def endpoints(ports: Ports) -> Endpoints:
    """Where everything is on this machine."""
    return endpoints_at({name: (HOST, port) for name, port in ports.items()})


def endpoints_at(addresses: Mapping[str, Address]) -> Endpoints:
    """Where everything is, by the names of parts and of `link_port`s."""
    return Endpoints(
        url=_http(addresses["nginx"]),
        web={name: _http(addresses[name]) for name in WEB},
        worker=_http(addresses["worker"]),
        primary=postgres.dsn(addresses["primary"], postgres.SUPERUSER),
        replica=postgres.dsn(addresses["replica"], postgres.SUPERUSER),
        redis=_redis(addresses["redis"]),
        toxiproxy=_http(addresses["toxiproxy"]),
        links={link: _link_url(link, addresses[link_port(link)]) for link in LINKS},
    )


def _link_url(link: str, address: Address) -> str:
    return _redis(address) if LINKS[link] == "redis" else postgres.dsn(address)


def concerned(before: Settings, after: Settings) -> Sequence[str]:
    """Which of the shortener's processes must start again for other settings to hold."""
    changed = {key for key, _ in {**before}.items() ^ {**after}.items()}
    everyone = any(not key.startswith(WEB_ONLY) for key in changed)
    return SHORTENER if everyone else WEB


def environment(name: str, ports: Ports, settings: Settings) -> dict[str, str]:
    """A part's environment; the shortener's has the addresses, and what the arm asks for."""
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
        "SHUTDOWN_TIMEOUT_S": "0.02",  # who watches a lab waits for its restarts
    }
    return clean_environment() | {
        PREFIX + key: value for key, value in {**ours, **settings}.items()
    }


@dataclass(frozen=True)
class BuildContext:
    """What every part is made with."""

    python: str
    folder: Path
    logs: Path
    ports: Ports
    account: OsUser | None
    install: Path

    def part(self, name: str, settings: Settings) -> PartProcess:
        """A part that has not been started yet, with its folder."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        account = self.account if name in DATABASES else None
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
        )

    def _command(self, name: str, folder: Path) -> Sequence[str | Path]:
        match name:
            case "primary" | "replica":
                return [self.install / "bin" / "postgres", "-D", folder]
            case "redis":
                return [
                    *(binaries.valkey(), ROOT / "stack" / "redis" / "redis.conf"),
                    *("--bind", HOST, "--port", str(self.ports[name])),
                ]
            case "toxiproxy":
                return _toxiproxy(self.python, str(self.ports[name]))
            case "nginx":
                return [binaries.nginx(), "-p", folder, "-c", "nginx.conf", "-g", nginx_globals()]
            case _:
                kind = "worker" if name == "worker" else "web"
                return [self.python, "-m", PROGRAM, kind]


def write_nginx_conf(nginx: PartProcess, ports: Ports) -> None:
    """Fill in the addresses."""
    template = Template((ROOT / "stack" / "nginx" / "nginx.conf").read_text())
    addresses = {
        "LISTEN": f"{HOST}:{ports['nginx']}",
        "WEB_1": f"{HOST}:{ports['web-1']}",
        "WEB_2": f"{HOST}:{ports['web-2']}",
    }
    (nginx.folder / "nginx.conf").write_text(template.safe_substitute(addresses))


def is_ready(name: str, address: Address) -> bool:
    """Whether a part answers as it does once it serves."""
    match name:
        case "primary" | "replica":
            return postgres.is_up(address)
        case "redis":
            return readiness.redis_answers(address)
        case "toxiproxy":
            return readiness.http_status(address, "/version") == 200
        case "nginx":
            return (
                readiness.http_status(address, "/metrics") == 404
            )  # its own answer, not the web's
        case _:
            return readiness.http_status(address, "/readyz") == 200


def _toxiproxy(python: str, port: str) -> list[str]:
    server = binaries.toxiproxy()
    program = [server] if server else [python, "-m", "chaos.toxiproxy"]
    return [*program, "-host", HOST, "-port", port, "-proxy-metrics"]


def nginx_globals() -> str:
    """Root's nginx would hand its worker to a user and group that may not exist here."""
    return "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"


def _http(address: Address) -> str:
    return "http://{}:{}".format(*address)


def _redis(address: Address) -> str:
    return "redis://{}:{}/0".format(*address)
