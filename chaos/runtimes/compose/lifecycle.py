"""`make up` and `make down`: docker-compose.yml brought up until it is healthy, or removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import docker

from chaos.model.stack import THIRD, StackError
from chaos.runtimes.compose.containers import LAB, PART, PROJECT, last_lines, ours, project
from chaos.runtimes.compose.docker_engine import engine
from chaos.runtimes.compose.settings_file import write_settings
from chaos.runtimes.environment import as_given
from chaos.runtimes.topology import ROOT

ENV, OFFLINE = ROOT / ".env", ROOT / "tools" / "offline" / "images.env"
SOCKET = Path("/var/run/docker.sock")
READY_S = 180
ON_DEMAND = "on-demand"  # the profile of what `make up` makes, and does not start
LOG_LINES = 8


def bring_up(*, observability: bool, offline: bool, locust_workers: int) -> None:
    """Build our images, start everything, and return when all of it is healthy.

    Raises:
        StackError: something is unhealthy; the message names it, with the end of its log.
    """
    profiles = ["obs", *([] if offline else ["grafana"])] if observability else []
    with engine() as client:
        _make_runs_folder()
        _reset_settings(client)
        command = ["up", "--detach", "--build", "--remove-orphans"]
        command += [
            "--wait",
            f"--wait-timeout={READY_S}",
            f"--scale=locust-worker={locust_workers}",
        ]
        sys.stderr.write("building and starting the lab (the first time takes minutes)\n")
        if _make_third(offline=offline) or _compose(command, profiles, offline=offline):
            lines = ["the lab did not come up", *_unhealthy(client)]
            if not offline:
                lines.append(
                    "without a registry: `make images-offline`, then `make up OFFLINE=1` "
                    "(docs/compose.md)"
                )
            raise StackError("\n".join(lines))


def _make_third(*, offline: bool) -> int:
    """Make the container of the third server, which a run starts if it needs it.

    The lab's own, which begins to look for all parts as it starts, is made later.
    """
    return _compose(["create", THIRD], [ON_DEMAND], offline=offline)


def take_down() -> None:
    """Remove every container, network and volume of the lab; images stay."""
    with engine() as client:
        if not _exists(client):
            sys.stderr.write("there is no lab in containers, nothing to remove\n")
            return
        command = ["down", "--volumes", "--remove-orphans", "--timeout=5"]
        if _compose(command, ["obs", "grafana", ON_DEMAND], offline=False):
            raise StackError("the lab could not be removed whole; Docker says why above")


def _exists(client: docker.DockerClient) -> bool:
    """True if a container, network or volume of the lab exists, broken or not."""
    of_us = {"label": f"{PROJECT}={project()}"}
    return bool(
        client.api.containers(all=True, filters=of_us)
        or client.networks.list(filters=of_us)
        or client.volumes.list(filters=of_us)
    )


def _compose(arguments: Sequence[str], profiles: Sequence[str], *, offline: bool) -> int:
    """Run `docker compose` with its output on stderr; return its exit code.

    Its hundreds of lines of progress are for a terminal, where it draws them over each other.
    """
    docker_command = shutil.which("docker")
    if docker_command is None:
        raise StackError("there is no `docker` command: install Docker with its Compose plugin")
    files = [ENV, OFFLINE] if offline else [ENV]
    progress = "auto" if sys.stderr.isatty() else "quiet"
    command = [docker_command, "compose", "--progress", progress, "--project-directory", str(ROOT)]
    command += [word for file in files for word in ("--env-file", str(file))]
    environment = {**as_given(), **_of_this_machine(), "COMPOSE_PROFILES": ",".join(profiles)}
    return subprocess.run(
        [*command, *arguments], env=environment, stdout=sys.stderr, check=False
    ).returncode


def _of_this_machine() -> Mapping[str, str]:
    """Variables with the user and group that can write runs and reach the engine."""
    found = {"COMPOSE_PROJECT_NAME": project(), "LAB_USER": f"{os.getuid()}:{os.getgid()}"}
    if SOCKET.exists():
        found["DOCKER_GROUP"] = str(SOCKET.stat().st_gid)
    given = as_given()
    if bundle := given.get("CA_BUNDLE") or given.get("SSL_CERT_FILE"):
        found["CA_BUNDLE"] = bundle
    return found


def _make_runs_folder() -> None:
    """Docker would make it for root."""
    (ROOT / "reports" / "runs").mkdir(parents=True, exist_ok=True)


def _reset_settings(client: docker.DockerClient) -> None:
    """Reset the settings that a killed run may have left."""
    for container in client.containers.list(all=True, filters=ours()):
        if container.labels[PART] == LAB:
            write_settings(container, {})


def _unhealthy(client: docker.DockerClient) -> list[str]:
    """Each container that is not healthy, with the end of its log."""
    lines = []
    for container in client.containers.list(all=True, filters=ours()):
        state: Mapping[str, Any] = container.attrs["State"]
        if container.labels[PART] == THIRD:
            continue
        health = state.get("Health", {}).get("Status", "healthy")
        if state["Status"] == "running" and health == "healthy":
            continue
        lines.append(f"{container.labels[PART]}: {state['Status']}, {health}")
        lines += [f"  {line}" for line in last_lines(container, LOG_LINES)]
    return lines or ["Docker says why above"]
