"""Toxiproxy servers as processes and links through them, for the contract tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests

WAIT_S = 10.0
QUIET_S = 0.15
EMBEDDED = "embedded"
ORIGINAL = "toxiproxy-server"


def original_server() -> str | None:
    """Return the path of the original Toxiproxy, if there is one.

    ORIGINAL_TOXIPROXY names it to these tests alone; LINKSTORM_TOXIPROXY puts it into labs, too.
    """
    named = os.environ.get("ORIGINAL_TOXIPROXY") or os.environ.get("LINKSTORM_TOXIPROXY")
    return named or shutil.which("toxiproxy-server")


def program(kind: str) -> list[str]:
    """Return the command of a kind of server."""
    if kind == EMBEDDED:
        return [sys.executable, "-m", "chaos.toxiproxy"]
    return [original_server() or ""]


def command(kind: str, port: int) -> list[str]:
    return [*program(kind), "-host=127.0.0.1", f"-port={port}"]


@dataclass
class ToxiproxyServer:
    """A running server, and its HTTP API."""

    kind: str
    url: str
    process: subprocess.Popen[bytes]
    session: requests.Session

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.session.request(method, self.url + path, json=body, timeout=WAIT_S, **options)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        answer.raise_for_status()
        return answer.json()

    def add(self, proxy: str, kind: str, stream: str = "downstream", **attributes: int) -> None:
        self.put(proxy, kind, attributes, stream)

    def put(
        self, proxy: str, kind: str, attributes: dict[str, int], stream: str = "downstream"
    ) -> None:
        toxic = {"type": kind, "stream": stream, "attributes": attributes}
        self.call("POST", f"/proxies/{proxy}/toxics", toxic).raise_for_status()

    def remove(self, proxy: str, toxic: str) -> None:
        self.call("DELETE", f"/proxies/{proxy}/toxics/{toxic}").raise_for_status()

    def delete_all(self) -> None:
        for name in self.get("/proxies"):
            self.call("DELETE", f"/proxies/{quote(name, safe='')}").raise_for_status()


@contextmanager
def running(kind: str, port: int = 0, *options: str) -> Iterator[ToxiproxyServer]:
    """Start a server of that kind, by default on a free port and with metrics."""
    port, options = port or free_port(), options or ("-proxy-metrics",)
    with (
        subprocess.Popen([*command(kind, port), *options], stdout=subprocess.DEVNULL) as process,
        requests.Session() as session,
    ):
        try:
            session.trust_env = False
            server = ToxiproxyServer(kind, f"http://127.0.0.1:{port}", process, session)
            _wait_until_up(server)
            yield server
        finally:
            process.terminate()
            process.wait(WAIT_S)


def _wait_until_up(server: ToxiproxyServer) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            server.call("GET", "/version")
            return
        except requests.ConnectionError:
            assert server.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class ProxiedLink:
    """A proxy and the listener behind it; each connection is a client and its peer."""

    server: ToxiproxyServer
    name: str
    listener: socket.socket
    address: tuple[str, int]
    opened: ExitStack = field(default_factory=ExitStack)

    def connect(self) -> tuple[socket.socket, socket.socket]:
        client = self.opened.enter_context(socket.create_connection(self.address, WAIT_S))
        peer, _ = self.listener.accept()
        self.opened.enter_context(peer)
        for each in (client, peer):
            each.settimeout(WAIT_S)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client, peer


@contextmanager
def proxied_link(server: ToxiproxyServer, name: str = "wire") -> Iterator[ProxiedLink]:
    """Create a proxy to a new listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as opened:
        listener.settimeout(WAIT_S)
        upstream = f"127.0.0.1:{listener.getsockname()[1]}"
        body = {"name": name, "listen": "127.0.0.1:0", "upstream": upstream}
        proxy = server.call("POST", "/proxies", body).json()
        host, port = proxy["listen"].rsplit(":", 1)
        yield ProxiedLink(server, name, listener, (host, int(port)), opened)


def read(source: socket.socket, size: int) -> bytes:
    """Read exactly so many bytes, or fewer if the stream ends."""
    got = bytearray()
    while len(got) < size and (chunk := source.recv(min(1 << 20, size - len(got)))):
        got += chunk
    return bytes(got)


def is_quiet(source: socket.socket) -> bool:
    """Return True if neither data nor the end arrives for `QUIET_S`."""
    source.settimeout(QUIET_S)
    try:
        source.recv(1)
    except TimeoutError:
        return True
    finally:
        source.settimeout(WAIT_S)
    return False


def crosses(source: socket.socket, sink: socket.socket, message: bytes = b"ping") -> bool:
    """Return True if a message arrives."""
    source.sendall(message)
    return read(sink, len(message)) == message


def seconds_to_cross(source: socket.socket, sink: socket.socket, message: bytes = b"ping") -> float:
    """Measure the time of a message."""
    begin_s = time.monotonic()
    assert crosses(source, sink, message)
    return time.monotonic() - begin_s
