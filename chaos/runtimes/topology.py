"""Parts and links of the stack: the one table that code, tests and static files are held to.

Facts only, no I/O: the commands of embedded parts are in `embedded/part_commands.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from chaos.model.stack import (
    THIRD,
    Endpoints,
    Link,
    PartName,
    Role,
    ServerName,
    Settings,
    Target,
)

ROOT = Path(__file__).parents[2]

Address = tuple[str, int]


class LinkRoute(NamedTuple):
    """A link through Toxiproxy: the part or role it leads to, and its port in containers."""

    target: Target
    port: int


# The parts of every stack, each with its port in its container; embedded parts get free ports.
PARTS: Mapping[PartName, int] = {
    "postgres-1": 5432,
    "postgres-2": 5432,
    "redis": 6379,
    "toxiproxy": 8474,
    "nginx": 8080,
    "web-1": 8000,
    "web-2": 8000,
    "worker": 8000,
}
LINKS: Mapping[Link, LinkRoute] = {
    "cache": LinkRoute("redis", 6380),
    "queue": LinkRoute("redis", 6381),
    "primary": LinkRoute("primary", 5433),
    "replica": LinkRoute("replica", 5434),
    "worker-primary": LinkRoute("primary", 5435),
    "replication": LinkRoute("primary", 5436),
}
PARTS_AND_THIRD: Mapping[PartName, int] = {**PARTS, THIRD: 5432}
ROLES: Mapping[Role, ServerName] = {"primary": "postgres-1", "replica": "postgres-2"}  # at first
SERVERS: Sequence[ServerName] = (*ROLES.values(), THIRD)
WEB: Sequence[PartName] = ("web-1", "web-2")
SHORTENER: Sequence[PartName] = (*WEB, "worker")

SETTING_PREFIX = "SHORTENER_"
WORKER_SETTINGS = frozenset({  # all others are the web processes' alone
    "CLICK_DEDUPE", "CLICK_RETENTION_DAYS", "EXPIRED_LINK_RETENTION_S", "IDEMPOTENCY_KEY_TTL_S",
    "LISTEN", "MIGRATE", "NAME", "OUTBOX_POLL_S", "POOL_RENEWAL", "PRIMARY_LIFETIME_S",
    "PRIMARY_TIMEOUT_S", "PRIMARY_URL", "QUEUE_TIMEOUT_S", "QUEUE_URL", "REPLICA_URL",
    "SWEEP_INTERVAL_S", "WORKER_ACKNOWLEDGE", "WORKER_BACKOFF_S", "WORKER_BATCH", "WORKER_BLOCK_S",
    "WORKER_CLAIM_IDLE_S", "WORKER_GATHER_S", "WORKER_STEP", "WORKER_STEP_PAUSE_S",
    "WRITE_CONNECT_TIMEOUT_S", "WRITE_TO",
})  # fmt: skip
NO_SUCH_PAGE = "/no/such/page"  # answered by a web process alone: two path segments are no code
SUPERUSER = "postgres"
DATABASE = "linkstorm"  # of the application, and its owner


def port_names() -> Sequence[str]:
    """Everything that listens: each part, and each link."""
    return [*PARTS_AND_THIRD, *map(link_port, LINKS)]


def link_port(link: str) -> str:
    """The name of a link's port: some links share their name with a part."""
    return f"link {link}"


def led_by(roles: Mapping[Role, ServerName]) -> dict[Link, PartName]:
    """The part that each link leads to, when the servers have these roles; none without one."""
    leads = {link: having(route.target, roles) for link, route in LINKS.items()}
    return {link: part for link, part in leads.items() if part is not None}


def having(target: Target, roles: Mapping[Role, ServerName]) -> PartName | None:
    """The part of that name, or the server that has that role; None if none has."""
    if target == "primary" or target == "replica" or target == "standby":
        return roles.get(target)
    return target


def slot(server: ServerName) -> str:
    """The replication slot that a server uses as standby."""
    return server.replace("-", "_")


def restarted_by(before: Settings, after: Settings) -> Sequence[PartName]:
    """Processes of the shortener that must restart for other settings to take effect."""
    changed = {key for key, _ in {**before}.items() ^ {**after}.items()}
    return SHORTENER if changed & WORKER_SETTINGS else WEB


def endpoints_at(addresses: Mapping[str, Address]) -> Endpoints:
    """URLs of everything, from addresses by `port_names`."""

    def link_url(link: Link) -> str:
        address = addresses[link_port(link)]
        return _redis(address) if LINKS[link].target == "redis" else dsn(address)

    servers = {name: dsn(addresses[name], SUPERUSER) for name in SERVERS if name in addresses}
    return Endpoints(
        url=_http(addresses["nginx"]),
        web={name: _http(addresses[name]) for name in WEB},
        worker=_http(addresses["worker"]),
        servers=servers,
        primary=servers[ROLES["primary"]],
        replica=servers[ROLES["replica"]],
        redis=_redis(addresses["redis"]),
        toxiproxy=_http(addresses["toxiproxy"]),
        links={link: link_url(link) for link in LINKS},
    )


def dsn(address: Address, user: str = DATABASE, database: str = DATABASE) -> str:
    """The URL of a Postgres at this address, or of a link to one."""
    host, port = address
    return f"postgresql://{user}@{host}:{port}/{database}"


def _http(address: Address) -> str:
    return "http://{}:{}".format(*address)


def _redis(address: Address) -> str:
    return "redis://{}:{}/0".format(*address)
