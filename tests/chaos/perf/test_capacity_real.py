"""The capacity finder on a real server that serves one request after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gated_service import SERVICE
from tests.support.repositories import commit, new_repository

pytestmark = [
    pytest.mark.real,
    pytest.mark.alone,
    pytest.mark.timeout(400),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two cores"),
]

SERVES_PER_S = 100
ONE_BY_ONE = f"""
import asyncio
import sys

turn = asyncio.Lock()


async def serve(reader, writer):
    while await reader.readuntil(b"\\r\\n\\r\\n"):
        async with turn:
            await asyncio.sleep({1 / SERVES_PER_S})
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
"""


def test_it_is_below_what_the_server_can_do_at_most_and_near_it(tmp_path: Path) -> None:
    root = new_repository(tmp_path / "service")
    commit(root, {"perf.toml": SERVICE, "server.py": ONE_BY_ONE})
    done = subprocess.run(
        [
            *(sys.executable, "-m", "chaos", "capacity", "--slo=p90<100ms", "--step=2.5"),
            *(f"--service={root / 'perf.toml'}", f"--into={tmp_path / 'found'}", "--format=json"),
        ],
        capture_output=True, text=True, timeout=380, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert 0.5 * SERVES_PER_S < found["rate_per_s"] < 1.05 * SERVES_PER_S
    assert [step for step in found["steps"] if not step["holds"]]
    (directory,) = (tmp_path / "found").iterdir()
    assert {"capacity.json", "report.html", "logs"} == {path.name for path in directory.iterdir()}
