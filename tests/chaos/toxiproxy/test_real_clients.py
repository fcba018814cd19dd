"""Clients that others wrote work unchanged, each as a small program of its own language."""

import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.toxiproxy.servers import ToxiproxyServer

CLIENTS = Path(__file__).with_name("clients")
INSTALL_S = 240
KINDS = ["bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"]
STEPS = [
    "version true",
    "create true",
    "toxic latency true",
    "slow true",
    "update 160 true",
    *(f"toxic {kind} true" for kind in KINDS),
    "reset true true",
]
REFUSAL = '{"error":"proxy not found","status":404}'


class EchoHandler(socketserver.BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        while data := self.request.recv(1000):
            self.request.sendall(data)


@pytest.fixture
def upstream() -> Iterator[str]:
    """The address of an echo server."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), EchoHandler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def told(*command: str | Path) -> list[str]:
    """The lines that a client program writes."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def address(server: ToxiproxyServer) -> str:
    return urlsplit(server.url).netloc


def installed(*command: str | Path, where: Path) -> None:
    """Get what a client needs, or skip: without a package index there is none."""
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode:
        pytest.skip(f"{command[0]} cannot get the client: {done.stderr.strip()[-200:]}")


@pytest.fixture(scope="session")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node program, with its client installed beside it."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("no node and npm on PATH")
    folder = tmp_path_factory.mktemp("clients") / "node"
    shutil.copytree(CLIENTS / "node", folder)
    installed("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", where=folder)
    return folder / "client.js"


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built."""
    if not shutil.which("go"):
        pytest.skip("no go on PATH")
    program = tmp_path_factory.mktemp("clients") / "client"
    installed("go", "build", "-o", program, ".", where=CLIENTS / "go")
    return program


def test_the_python_client_works(server: ToxiproxyServer, upstream: str) -> None:
    assert told(sys.executable, CLIENTS / "client.py", address(server), upstream) == [
        "version True",
        "create True",
        "toxic latency True",
        "slow True",
        *(f"toxic {kind} True" for kind in KINDS),
        "reset True True",
        "populate one 2",
        "remove 0",
        f"refused b'{REFUSAL}\\n'",
    ]


def test_the_node_client_works(server: ToxiproxyServer, upstream: str, node_client: Path) -> None:
    assert told("node", node_client, server.url, upstream) == [
        *STEPS,
        "populate one made,one",
        "remove 0",
        "refused Request failed with status code 404",
    ]


def test_the_go_client_works(server: ToxiproxyServer, upstream: str, go_client: Path) -> None:
    lines = told(go_client, address(server), upstream)
    assert lines[:-1] == [*STEPS, "populate one 2", "remove 0"]
    assert lines[-1].startswith("refused ")
    assert "proxy not found" in lines[-1]
