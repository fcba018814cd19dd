"""The commands for a lab in containers: up, down, status, heal, and its control desk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from chaos.desk.server import kept_token, serve_desk
from chaos.model import State
from chaos.rundirs import RUNS
from chaos.runtimes.compose import lifecycle
from chaos.runtimes.compose.claim import claimed
from chaos.runtimes.compose.containers import Containers
from chaos.runtimes.compose.engine import engine
from chaos.runtimes.compose.runtime import TOKEN_FILE, endpoints_of
from chaos.runtimes.compose.stack import ComposeStack


def up(*, observability: bool, offline: bool, locust_workers: int) -> str:
    """Bring the lab up; what to open, line by line."""
    lifecycle.bring_up(observability=observability, offline=offline, locust_workers=locust_workers)
    with _lab() as (containers, _):
        return _what_is_up(containers)


def down() -> None:
    """Remove the lab; it is no error if there is none."""
    lifecycle.take_down()


def status() -> str:
    """How every part and link is, what is out of order first."""
    with _lab() as (containers, stack):
        return f"{_told(stack.state())}\n\n{_what_is_up(containers)}"


def heal() -> str:
    """Mend what a killed run left: toxics, pauses, dead parts, settings; what was mended."""
    with _lab() as (_, stack), claimed(stack.endpoints, "heal"):
        wrong = _wrong(stack.state())
        stack.heal()
        stack.configure({})
    return "\n".join(
        [*(f"{line}: healed" for line in wrong), "every part and link is as it should be"]
    )


def desk(host: str, port: int) -> None:
    """Serve the control desk of the lab that this container belongs to, until SIGTERM."""
    token = kept_token(Path(os.environ.get("LINKSTORM_DESK_TOKEN_FILE", TOKEN_FILE)))
    with _lab() as (containers, stack):
        serve_desk(stack, "compose", RUNS, token, host, port, containers.pages)


@contextmanager
def _lab() -> Iterator[tuple[Containers, ComposeStack]]:
    with engine() as client, TemporaryDirectory(prefix="linkstorm-") as folder:
        containers = Containers(client)
        yield containers, ComposeStack(containers, endpoints_of(containers), Path(folder))


def _what_is_up(containers: Containers) -> str:
    where = endpoints_of(containers)
    addresses = containers.addresses()
    pages = {
        "shortener": where.url,
        "Locust": "http://{}:{}".format(*addresses["locust"]),
        "Chaos page": "http://{}:{}/chaos".format(*addresses["locust"]),
        "Grafana": where.grafana and _without_account(where.grafana),
        "Prometheus": where.prometheus,
        "Toxiproxy": where.toxiproxy,
        "Postgres": f"{where.primary} (primary), {where.replica} (replica)",
        "Redis": where.redis,
    }
    return "\n".join(f"{name:<12}{page}" for name, page in pages.items() if page)


def _without_account(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"


def _told(state: State) -> str:
    wrong = _wrong(state)
    good = len(state.parts) + len(state.links) - len(wrong)
    return "\n".join([*wrong, f"{good} parts and links are as they should be"])


def _wrong(state: State) -> list[str]:
    parts = [f"{part} is {how}" for part, how in state.parts.items() if how != "up"]
    closed = [f"link {link} is cut" for link, how in state.links.items() if not how.open]
    toxics = [
        f"link {link}: {', '.join(how.toxics)}" for link, how in state.links.items() if how.toxics
    ]
    return [*parts, *closed, *toxics]
