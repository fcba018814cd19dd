"""The commands for labs that outlive a run: up, down, the control API; promote, status and heal.

Status and heal include leftovers on this machine: a lab in processes leaves some only if its
guardian was killed, too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from chaos.acts.failover import PROMOTION, move_primary
from chaos.model.stack import State
from chaos.record.run_directories import RUNS
from chaos.runtimes.compose import lifecycle
from chaos.runtimes.compose.claim import claimed
from chaos.runtimes.compose.containers import Containers
from chaos.runtimes.compose.docker_engine import NoLab, engine
from chaos.runtimes.compose.runtime import TOKEN_FILE, endpoints_of
from chaos.runtimes.compose.stack import ComposeStack
from chaos.runtimes.embedded import lab_folders, leftovers


def up(*, observability: bool, offline: bool, locust_workers: int) -> str:
    """Bring the lab up; return its addresses, line by line."""
    lifecycle.bring_up(observability=observability, offline=offline, locust_workers=locust_workers)
    with _lab() as (containers, stack):
        return _addresses(containers, stack)


def down() -> None:
    """Remove the lab; it is no error if there is none."""
    lifecycle.take_down()


def status() -> Iterator[str]:
    """Leftovers on this machine, and the state of the lab in containers, faults first."""
    yield from _processes([leftovers.told(lab) for lab in leftovers.looked_for()])
    try:
        with _lab() as (containers, stack):
            yield f"containers  {_described(stack.state())}\n\n{_addresses(containers, stack)}"
    except NoLab as none:
        yield f"containers  {none}"


def heal() -> Iterator[str]:
    """Remove leftover labs in processes; undo toxics, pauses, dead parts and settings in
    containers. Yields a line for each.
    """
    yield from _processes([leftovers.mended(lab) for lab in leftovers.looked_for()])
    try:
        with _lab() as (_, stack), claimed(stack.endpoints, "heal"):
            wrong = _wrong(stack.state())
            stack.heal()
            stack.configure({})
    except NoLab as none:
        yield f"containers  {none}"
    else:
        yield from (f"{line}: healed" for line in wrong)
        yield "every part and link is as it should be"


def promote() -> Iterator[str]:
    """Move the primary's role to the replica, in the lab in containers; yield each step.

    Raises:
        NoLab: there is none.
        StackError: the lab is in use, there is no replica, or it does not catch up.
    """
    with _lab() as (_, stack), claimed(stack.endpoints, PROMOTION):
        yield from move_primary(stack)


def _processes(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"processes   {line}" for line in lines or ["no lab is left, and none is at work"])


def control(host: str, port: int) -> None:
    """Serve the control API of the lab that this container belongs to, until SIGTERM."""
    from chaos.control.http_server import kept_token, serve_control

    token = kept_token(Path(os.environ.get("LINKSTORM_CONTROL_TOKEN_FILE", TOKEN_FILE)))
    with _lab() as (containers, stack):
        serve_control(stack, "compose", RUNS, token, host, port, containers.pages)


@contextmanager
def _lab() -> Iterator[tuple[Containers, ComposeStack]]:
    with engine() as client:
        containers = Containers(client)
        folder = lab_folders.made(os.getpid())
        try:
            yield containers, ComposeStack(containers, endpoints_of(containers), folder)
        finally:
            shutil.rmtree(folder)


def _addresses(containers: Containers, stack: ComposeStack) -> str:
    where = stack.endpoints
    addresses = containers.addresses()
    pages = {
        "shortener": f"{where.url} (its API: {where.url}/docs)",
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


def _described(state: State) -> str:
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
