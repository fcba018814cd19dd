"""Web processes of a test's own on the databases of the lab, without its links.

They have the settings that the test gives.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from chaos.model.stack import Stack
from chaos.runtimes.embedded.fork_client import Forked, ForkServerClient
from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.embedded.runtime import EmbeddedStack
from tests.support.shortener_process import eventually


@dataclass
class OwnWeb:
    """A web process that can be restarted at the same address."""

    url: str
    log: Path
    folder: Path
    environment: Mapping[str, str]
    forks: ForkServerClient
    process: Forked | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.begin()
        eventually(self.is_ready, within_s=30)

    def begin(self) -> None:
        """Start it without waiting."""
        command = [sys.executable, "-m", "stack.shortener", "web"]
        self.process = self.forks.fork(command, self.folder, self.environment, self.log)

    def is_ready(self) -> bool:
        """Return True once `/readyz` does."""
        assert self.process is not None
        assert self.process.poll() is None, f"it has ended: {self.log.read_text()[-2000:]}"
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def terminate(self) -> None:
        """Send SIGTERM, and wait for exit code 0."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0, self.log.read_text()[-2000:]

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=30)


@contextmanager
def webs(
    stack: Stack, logs: Path, count: int = 2, settings: Mapping[str, str] = {}
) -> Iterator[list[OwnWeb]]:
    """Start web processes, and wait until they are ready."""
    names = [f"own-web-{number}" for number in range(count)]
    with reserved(names) as ports, ExitStack() as ended:
        started = [_web(stack, logs, name, ports[name], settings) for name in names]
        for web in started:
            ended.callback(web.kill)
            web.start()
        yield started


@contextmanager
def begun(stack: Stack, logs: Path, settings: Mapping[str, str]) -> Iterator[OwnWeb]:
    """Start a web process without waiting."""
    with reserved(["own-web"]) as ports:
        web = _web(stack, logs, "own-web", ports["own-web"], settings)
        web.begin()
        try:
            yield web
        finally:
            web.kill()


def _web(stack: Stack, logs: Path, name: str, port: int, settings: Mapping[str, str]) -> OwnWeb:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SHORTENER_")}
    ours = {
        "NAME": name,
        "LISTEN": f"{HOST}:{port}",
        "PRIMARY_URL": as_owner(stack.endpoints.primary),
        "REPLICA_URL": as_owner(stack.endpoints.replica),
        "CACHE_URL": stack.endpoints.redis,
        "QUEUE_URL": stack.endpoints.redis,
        "API_RATE_PER_S": "0",  # a crowd of tests comes from one address
    }
    given = {f"SHORTENER_{key}": value for key, value in {**ours, **settings}.items()}
    assert isinstance(stack, EmbeddedStack)
    return OwnWeb(
        f"http://{HOST}:{port}",
        logs / f"{name}.log",
        stack.workdir(name),
        {**inherited, **given},
        stack.forks,
    )


def as_owner(dsn: str) -> str:
    """Return the application's DSN from the superuser's."""
    return dsn.replace("//postgres@", "//linkstorm@")
