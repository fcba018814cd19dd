"""A small service for tests of the gate, whose cost is known: a repository with its revisions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.repositories import commit, new_repository

SERVER = '''"""Answers every GET, after some work."""

import asyncio
import random
import sys
import time

WORK_US, SLOW_MS, WRONG = {work_us}, {slow_ms}, {wrong}
asked = 0


class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        global asked
        for _ in range(data.count(b"\\r\\n\\r\\n")):
            counts = not data.startswith((b"GET /counters", b"GET /healthz"))
            asked += counts
            status = 500 if counts and random.random() < WRONG else 200
            end = time.process_time() + WORK_US / 1e6
            while time.process_time() < end:
                pass
            if SLOW_MS and random.random() < 0.01:
                asyncio.get_running_loop().call_later(SLOW_MS / 1000, self.answer, status, b"")
            else:
                self.answer(status, b"asked %d" % (asked * {asks}))

    def answer(self, status, body):
        head = b"HTTP/1.1 %d OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % (status, len(body))
        self.transport.write(head + body)


async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
'''

SERVICE = """
name = "small"
command = ["{python}", "server.py", "{port}"]
health = "/healthz"

[load]
warm_up_s = 0.3
launch_s = 1.5
block_s = 0.2

[[requests]]
name = "item"
path = "/items/{n}"
numbers = 100

[[metrics]]
figure = "cpu"
pass_below = 10

[[metrics]]
figure = "capacity"
pass_below = 30

[[counters]]
path = "/counters"

[counting]
requests = 5
pause_ms = 0
"""


def server(*, work_us: int = 300, slow_ms: int = 0, wrong: float = 0, asks: int = 1) -> str:
    """The server's program."""
    numbers = {"work_us": work_us, "slow_ms": slow_ms, "wrong": wrong, "asks": asks}
    text = SERVER
    for name, value in numbers.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def service_repository(root: Path, first: str, *, service: str = SERVICE) -> Path:
    """A repository with the service file and a first revision of the server."""
    commit(new_repository(root), {"perf.toml": service, "server.py": first})
    return root


def gate(root: Path, *options: str) -> subprocess.Popen[str]:
    kept = root.parent / "gates"
    history = kept / "history.jsonl"
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "chaos", "perf", f"--service={root / 'perf.toml'}"),
            *(f"--into={kept}", f"--history={history}", "--format=json", *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(root: Path, *options: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with gate(root, *options) as process:
        out, errors = process.communicate(timeout=380)
    return process.returncode, out, errors
