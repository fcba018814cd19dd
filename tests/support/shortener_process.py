"""A web or worker process alone, as in a container; its databases are unreachable."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True)
class ShortenerProcess:
    """A running process and its URL."""

    popen: subprocess.Popen[str]
    url: str

    def serves(self) -> bool:
        """Return True once it responds."""
        assert self.popen.poll() is None, "it has ended"
        try:
            return requests.get(f"{self.url}/healthz", timeout=2).ok
        except requests.ConnectionError:
            return False


@contextmanager
def nobody(*, silent: bool) -> Iterator[str]:
    """Yield an address that refuses connections, or (`silent`) accepts and never responds."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        if silent:
            holder.listen(128)
        yield "{}:{}".format(*holder.getsockname())


@contextmanager
def process(
    kind: str,
    environment: Mapping[str, str] = {},
    *,
    silent: bool = False,
    host: str = "127.0.0.1",
    before: Callable[[], object] | None = None,
) -> Iterator[ShortenerProcess]:
    """Start a process; `before` runs in it before Python does."""
    with nobody(silent=silent) as address, socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((host, 0))
        port = free.getsockname()[1]
        free.close()
        addresses = {
            "SHORTENER_PRIMARY_URL": f"postgresql://somebody@{address}/any",
            "SHORTENER_REPLICA_URL": f"postgresql://somebody@{address}/any",
            "SHORTENER_CACHE_URL": f"redis://{address}/0",
            "SHORTENER_QUEUE_URL": f"redis://{address}/0",
            "SHORTENER_LISTEN": f"{host}:{port}",
            "SHORTENER_READY_WAIT_S": "0.1",  # nothing will respond
        }
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        with subprocess.Popen(
            [sys.executable, "-m", "stack.shortener", kind],
            cwd=ROOT,
            env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **addresses, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        ) as popen:
            try:
                yield ShortenerProcess(popen, f"http://127.0.0.1:{port}")
            finally:
                popen.kill()


def eventually(true: Callable[[], bool], within_s: float = 15) -> None:
    """Wait until it is true."""
    deadline_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline_s, "it did not come true in time"
        time.sleep(0.02)


def scraped(url: str, *names: str) -> Samples:
    """Scrape the metrics of a process."""
    answer = requests.get(f"{url}/metrics", params={"name[]": names}, timeout=10)
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return a sample, which must exist."""
    return samples[name, frozenset(labels.items())]
