"""A server and Locust as processes, for the tests of scenarios."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LOCUSTFILE = HERE.parents[1] / "scenarios" / "locustfile.py"
Event = dict[str, Any]


class Server:
    """`scenarios_server.py` in one of its modes."""

    def __init__(self, process: subprocess.Popen[str], host: str) -> None:
        assert process.stdout is not None
        self.process = process
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{int(process.stdout.readline())}"

    def seen(self) -> dict[str, int]:
        """The counts of connections, redirects and new links."""
        seen: dict[str, int] = json.loads(fetch(f"{self.url}/seen"))
        return seen

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


class Locust:
    """Locust in control mode."""

    def __init__(self, process: subprocess.Popen[str], record: Path, log: Path) -> None:
        self.process, self.record, self.log = process, record, log

    def tell(self, command: Event | str) -> None:
        """Send a command, or any line."""
        assert self.process.stdin is not None
        line = command if isinstance(command, str) else json.dumps(command)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> Event:
        """The next event."""
        assert self.process.stdout is not None
        event: Event = json.loads(self.process.stdout.readline())
        return event

    def ask(self, command: Event | str) -> Event:
        """Send a command and return the next event."""
        self.tell(command)
        return self.hear()

    def prepare(self, **traffic: Any) -> Event:
        """Create the links that are missing."""
        return self.ask({"do": "prepare", "traffic": traffic})

    def prepare_fresh(self, **traffic: Any) -> Event:
        """Create new links."""
        return self.ask({"do": "prepare", "traffic": traffic, "fresh": True})

    def start(self, duration_s: float, segment: int = 1, **traffic: Any) -> Event:
        """Start a segment."""
        order = {"do": "start", "segment": segment, "duration_s": duration_s, "seed": 5}
        return self.ask({**order, "traffic": traffic})

    def hang_up(self) -> int:
        """Close stdin and return the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(10)

    def rows(self) -> list[dict[str, str]]:
        """The record so far."""
        with (self.record / "requests-0.csv").open(newline="") as shard:
            return list(csv.DictReader(shard))


@contextmanager
def server(mode: str = "ok", host: str = "127.0.0.1") -> Iterator[Server]:
    """A server that ends with the test."""
    command = [sys.executable, str(HERE / "scenarios_server.py"), mode, host]
    with running(command, stdout=subprocess.PIPE) as process:
        yield Server(process, host)


@contextmanager
def controlled(url: str, directory: Path, *options: str, **env: str) -> Iterator[Locust]:
    """Locust in control mode, ended with the test."""
    record, log = directory / "record", directory / "locust.log"
    with (
        log.open("w") as stderr,
        running(
            locust("--headless", "-u", "1", "--host", url, *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=directory,
            env={**os.environ, "LINKSTORM_CONTROL": "1", "LINKSTORM_RECORD": str(record), **env},
        ) as process,
    ):
        yield Locust(process, record, log)


@contextmanager
def running(command: Sequence[str], **how: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed with its children in the end."""
    process = subprocess.Popen(command, text=True, start_new_session=True, **how)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def locust(*options: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *options]


def fetch(url: str, **form: str) -> str:
    """GET, or POST of a form."""
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_page(page: str) -> None:
    """Wait until Locust serves its page."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            fetch(page)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the page did not come up")
