"""The lab's own containers, found by their labels."""

from __future__ import annotations

import io
import os
import shlex
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError
from docker.models.containers import Container

from chaos.model.stack import PartState, StackError
from chaos.runtimes.compose.docker_engine import AnotherCheckout, NoLab
from chaos.runtimes.topology import LINKS, PARTS_AND_THIRD, ROOT, Address, link_port

PART = "linkstorm.part"
PROJECT = "com.docker.compose.project"
DIRECTORY = "com.docker.compose.project.working_dir"
LAB = "lab"
PAGES = ("grafana", "prometheus")
STOP_S = 8
SERVER_DATA = "/var/lib/postgresql"
GONE_S = 10.0
POLL_S = 0.02

# The container and the port in it of each part, link and page.
LISTENS: Mapping[str, Address] = {
    **{part: (part, port) for part, port in PARTS_AND_THIRD.items()},
    **{link_port(link): ("toxiproxy", to.port) for link, to in LINKS.items()},
    LAB: (LAB, 8070),
    "locust": ("locust", 8089),
    "prometheus": ("prometheus", 9090),
    "grafana": ("grafana", 3000),
}


def project() -> str:
    """The Compose project that is ours."""
    return os.environ.get("COMPOSE_PROJECT_NAME") or "linkstorm"


def inside() -> bool:
    """True in one of the containers, where they reach each other by name."""
    return os.environ.get("LINKSTORM_INSIDE") == "containers"


class Containers:
    """The containers of one lab by part."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Find them.

        Raises:
            NoLab: there is none, or it was started from another folder.
        """
        self._client = client
        found = client.containers.list(all=True, filters=ours())
        self._by_part: dict[str, Container] = {each.labels[PART]: each for each in found}
        if missing := [part for part in (*PARTS_AND_THIRD, LAB) if part not in self._by_part]:
            raise NoLab(
                f"there is no lab of project {project()!r} in Docker (no {', '.join(missing)}): "
                "`make up` starts one"
            )
        self._refuse_another_checkout()

    def _refuse_another_checkout(self) -> None:
        folder = Path(self[LAB].labels.get(DIRECTORY, ""))
        if not inside() and folder != ROOT:
            raise AnotherCheckout(
                f"the lab of project {project()!r} was started from {folder}: run this there, or "
                "`make down` it there, or set COMPOSE_PROJECT_NAME and other ports for one of them"
            )

    def __getitem__(self, part: str) -> Container:
        """The container of a part."""
        if part not in self._by_part:
            known = ", ".join(name for name in PARTS_AND_THIRD if name in self._by_part)
            raise StackError(f"there is no part {part}: {known}")
        return self._by_part[part]

    def __contains__(self, part: str) -> bool:
        return part in self._by_part

    def environment(self, part: str) -> list[str]:
        """The names of the variables that a part's container was made with."""
        return [pair.partition("=")[0] for pair in self[part].attrs["Config"]["Env"] or ()]

    def addresses(self) -> dict[str, Address]:
        """Addresses of all that exists: by container name inside, else by published port."""
        there = {name: at for name, at in LISTENS.items() if at[0] in self}
        return there if inside() else {name: self._published(*at) for name, at in there.items()}

    def _published(self, part: str, port: int) -> Address:
        bindings = self[part].attrs["HostConfig"]["PortBindings"].get(f"{port}/tcp")
        if not bindings:
            raise StackError(f"{part} does not publish its port {port}: see docker-compose.yml")
        return bindings[0]["HostIp"], int(bindings[0]["HostPort"])

    def pages(self) -> dict[str, str]:
        """URLs of Grafana and Prometheus for a browser, as far as they run now."""
        return {
            row["Labels"][PART]: f"http://{port['IP']}:{port['PublicPort']}"
            for row in self._client.api.containers(filters=ours())
            for port in row["Ports"]
            if row["Labels"][PART] in PAGES and "PublicPort" in port
        }

    def states(self) -> dict[str, PartState]:
        """The state of each part that a stack may have; one whose container is gone is down.

        From the engine's list: one request, cheap enough to poll.
        """
        rows: list[dict[str, Any]] = self._client.api.containers(all=True, filters=ours())
        seen = {row["Labels"][PART]: _state(row["State"]) for row in rows}
        return {part: seen.get(part, "down") for part in PARTS_AND_THIRD}

    def kill(self, part: str) -> None:
        """SIGKILL, and return when it is gone; a paused one, too."""
        container = self[part]
        if self._status(part) in ("running", "paused"):
            container.kill()
        self._wait(part, lambda: self._status(part) == "exited", "outlived SIGKILL")

    def stop(self, part: str) -> None:
        """SIGTERM; the engine kills it after `STOP_S`."""
        self[part].stop(timeout=STOP_S)

    def order(self, server: str, how: str) -> None:
        """Leave a stopped server the order how to start next, which `server.sh` carries out."""
        put_file(self[server], SERVER_DATA, "order", f"{how}\n")

    def start(self, part: str) -> None:
        """Start it; it may not be ready yet."""
        self[part].start()

    def pause(self, part: str) -> None:
        """Freeze all of it."""
        if self._status(part) == "running":
            self[part].pause()

    def resume(self, part: str) -> None:
        """Let it go on."""
        if self._status(part) == "paused":
            self[part].unpause()

    def is_used(self, part: str) -> bool:
        """True if it runs, or was killed: not if it was never started, or stopped in order."""
        status = self._status(part)
        return status in ("running", "paused") or (
            status == "exited" and self[part].attrs["State"]["ExitCode"] != 0
        )

    def ended(self, part: str) -> bool:
        """True if it has exited."""
        return self._status(part) in ("exited", "dead")

    def hang_up(self, part: str) -> None:
        """SIGHUP."""
        self[part].kill(signal="SIGHUP")

    def exec(self, part: str, *command: str) -> str:
        """The output of a command in the container, stdout and stderr."""
        try:
            code, output = self[part].exec_run(list(command))
        except APIError as error:
            raise StackError(f"{part} cannot run a command: {error.explanation}") from error
        text = _text(output).strip()
        if code:
            raise StackError(f"{shlex.join(command)} in {part} ended with {code}: {text}")
        return text

    def log_since(self, part: str, last: str) -> list[tuple[str, str]]:
        """Lines of its log with their times, those after `last`; with no time, only the last."""
        options: dict[str, Any] = {"since": _epoch_s(last)} if last else {"tail": 1}
        text = _text(self[part].logs(timestamps=True, **options))
        rows = (line.partition(" ") for line in text.splitlines())
        return [(when, line) for when, _, line in rows if when > last]

    def last_lines(self, part: str, count: int) -> list[str]:
        """The end of its log."""
        return last_lines(self[part], count)

    def _status(self, part: str) -> str:
        container = self[part]
        container.reload()
        return str(container.status)

    def _wait(self, part: str, reached: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + GONE_S
        while not reached():
            if time.monotonic() > deadline:
                raise StackError(f"{part} {otherwise}")
            time.sleep(POLL_S)


def put_file(container: Container, folder: str, name: str, text: str) -> None:
    """Put a file into a container, which may be stopped."""
    content = text.encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        archive.addfile(entry, io.BytesIO(content))
    if not container.put_archive(folder, packed.getvalue()):
        raise StackError(f"{folder}/{name} could not be written")


def ours() -> dict[str, str | list[str] | bool]:
    """The engine's filter for the containers of our lab."""
    return {"label": [PART, f"{PROJECT}={project()}"]}


def last_lines(container: Container, count: int) -> list[str]:
    """The end of a container's log."""
    return _text(container.logs(tail=count)).splitlines()


def _text(output: bytes | Iterator[bytes]) -> str:
    return (output if isinstance(output, bytes) else b"".join(output)).decode(errors="replace")


def _state(status: str) -> PartState:
    if status == "paused":
        return "paused"
    return "up" if status == "running" else "down"


def _epoch_s(stamp: str) -> float:
    """Seconds since the epoch, rounded down to a second: what is older is left out afterwards."""
    return float(time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone)
