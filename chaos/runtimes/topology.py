"""What the embedded stack is made of: parts, links, addresses, and the command of each part."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template

from chaos.model import Endpoints, Settings
from chaos.runtimes import binaries, postgres, probes
from chaos.runtimes.account import Account
from chaos.runtimes.parts import Part
from chaos.runtimes.ports import HOST

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
PREFIX = "SHORTENER_"
ROOT = Path(__file__).parents[2]

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
    """Where everything is."""
    return Endpoints(
        url=_http(ports["nginx"]),
        web={name: _http(ports[name]) for name in WEB},
        worker=_http(ports["worker"]),
        primary=postgres.dsn(ports["primary"], postgres.SUPERUSER),
        replica=postgres.dsn(ports["replica"], postgres.SUPERUSER),
        redis=_redis(ports["redis"]),
        toxiproxy=_http(ports["toxiproxy"]),
        links={link: link_url(ports, link) for link in LINKS},
    )


def link_url(ports: Ports, link: str) -> str:
    """The address of what a link leads to, through the link."""
    port = ports[link_port(link)]
    return _redis(port) if LINKS[link] == "redis" else postgres.dsn(port)


def clean_environment() -> dict[str, str]:
    """Ours, without what would change a part's settings behind the lab's back."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((PREFIX, "PG")) and name != "LC_ALL"
    }
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": path, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def environment(name: str, ports: Ports, settings: Settings) -> dict[str, str]:
    """A part's environment; the shortener's has the addresses, and what the arm asks for."""
    if name not in SHORTENER:
        return clean_environment()
    ours = {
        "NAME": name,
        "LISTEN": f"{HOST}:{ports[name]}",
        "PRIMARY_URL": link_url(ports, "worker-primary" if name == "worker" else "primary"),
        "REPLICA_URL": link_url(ports, "replica"),
        "CACHE_URL": link_url(ports, "cache"),
        "QUEUE_URL": link_url(ports, "queue"),
    }
    return clean_environment() | {
        PREFIX + key: value for key, value in {**ours, **settings}.items()
    }


@dataclass(frozen=True)
class Workshop:
    """What every part is made with."""

    python: str
    folder: Path
    logs: Path
    ports: Ports
    account: Account | None
    install: Path

    def part(self, name: str, settings: Settings) -> Part:
        """A part that has not been started yet, with its folder."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        account = self.account if name in DATABASES else None
        if account:
            account.give(folder)
        return Part(
            name=name,
            folder=folder,
            log=self.logs / f"{name}.log",
            command=self._command(name, folder),
            ready=partial(_is_ready, name, self.ports[name]),
            environment=environment(name, self.ports, settings),
            account=account,
        )

    def _command(self, name: str, folder: Path) -> Sequence[str | Path]:
        match name:
            case "primary" | "replica":
                return [self.install / "bin" / "postgres", "-D", folder]
            case "redis":
                return [binaries.valkey(), *_redis_options(self.ports[name])]
            case "toxiproxy":
                return _toxiproxy(self.python, str(self.ports[name]))
            case "nginx":
                return [binaries.nginx(), "-p", folder, "-c", "nginx.conf", "-g", _nginx_globals()]
            case _:
                kind = "worker" if name == "worker" else "web"
                return [self.python, "-m", "stack.shortener", kind]


def write_nginx_conf(nginx: Part, ports: Ports) -> None:
    """Fill in the addresses."""
    template = Template((ROOT / "stack" / "nginx" / "nginx.conf").read_text())
    addresses = {
        "LISTEN": f"{HOST}:{ports['nginx']}",
        "WEB_1": f"{HOST}:{ports['web-1']}",
        "WEB_2": f"{HOST}:{ports['web-2']}",
    }
    (nginx.folder / "nginx.conf").write_text(template.safe_substitute(addresses))


def _is_ready(name: str, port: int) -> bool:
    match name:
        case "primary" | "replica":
            return postgres.is_up(port)
        case "redis":
            return probes.redis_answers(port)
        case "toxiproxy":
            return probes.http_status(port, "/version") == 200
        case "nginx":
            return probes.http_status(port, "/metrics") == 404  # its own answer, not the web's
        case _:
            return probes.http_status(port, "/readyz") == 200


def _redis_options(port: int) -> list[str]:
    """Cache entries have a TTL and may be evicted; the click stream has none and may not."""
    return [
        "--bind", HOST,
        "--port", str(port),
        "--maxmemory", "256mb",
        "--maxmemory-policy", "volatile-lru",
        "--appendonly", "yes",
        "--appendfsync", "everysec",
        "--save", "",
    ]  # fmt: skip


def _toxiproxy(python: str, port: str) -> list[str]:
    if server := binaries.toxiproxy():
        return [server, "-host", HOST, "-port", port]
    return [python, "-m", "chaos.runtimes.toxiproxy", "--host", HOST, "--port", port]


def _nginx_globals() -> str:
    """Root's nginx would hand its worker to a user and group that may not exist here."""
    return "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"


def _http(port: int) -> str:
    return f"http://{HOST}:{port}"


def _redis(port: int) -> str:
    return f"redis://{HOST}:{port}/0"
