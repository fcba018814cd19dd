"""What a proxy without toxics costs: `python -m chaos.runtimes.toxiproxy.bench`.

Client and echo server share this process; the proxy has one of its own, so a round trip through
it also pays for the changes of process. Direct and proxied rounds alternate; medians are shown.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast

import uvloop

from chaos.runtimes.toxiproxy import address

PAYLOAD = bytes(100)
ROUNDS = 5
ROUND_S = 1.0
CONNECTIONS = 64
HOST = address.DEFAULT_HOST


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


class Client(Echo):
    """Sends a payload, waits for all of it to come back, and begins again until its time is up."""

    def __init__(self, until_s: float) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.round_trips_s: list[float] = []
        self._until_s = until_s

    def send(self) -> None:
        """Begin a round trip."""
        self._waiting_for = len(PAYLOAD)
        self._sent_s = time.perf_counter()
        self.transport.write(PAYLOAD)

    def data_received(self, data: bytes) -> None:
        """End a round trip."""
        self._waiting_for -= len(data)
        if self._waiting_for:
            return
        now_s = time.perf_counter()
        self.round_trips_s.append(now_s - self._sent_s)
        if now_s < self._until_s:
            self.send()
        else:
            self.transport.close()
            self.done.set_result(None)


@dataclass(frozen=True)
class Round:
    """One second of round trips, by all connections together."""

    p50_ms: float
    per_s: float


async def measure(port: int, connections: int) -> Round:
    """As many round trips as there is time for."""
    loop = asyncio.get_running_loop()
    begin_s = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: Client(begin_s + ROUND_S), HOST, port))[1]
        for _ in range(connections)
    ]
    for client in clients:
        client.send()
    await asyncio.gather(*(client.done for client in clients))
    samples_s = [sample for client in clients for sample in client.round_trips_s]
    return Round(median(samples_s) * 1000, len(samples_s) / (time.perf_counter() - begin_s))


@asynccontextmanager
async def proxied(upstream: int) -> AsyncIterator[int]:
    """The port of a proxy, by a server of its own."""
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    with TemporaryDirectory() as folder:
        config = Path(folder) / "proxies.json"
        proxy = f'{{"name": "bench", "listen": "{HOST}:{port}", "upstream": "{HOST}:{upstream}"}}'
        config.write_text(f"[{proxy}]")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.runtimes.toxiproxy", "--port=0", f"--config={config}"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout
            await process.stdout.readline()
            yield port
        finally:
            process.terminate()
            await process.wait()


async def compare(ports: Mapping[str, int], connections: int) -> dict[str, Round]:
    """The medians of rounds that alternate between the ports."""
    rounds: dict[str, list[Round]] = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            rounds[name].append(await measure(port, connections))
    return {
        name: Round(median(each.p50_ms for each in some), median(each.per_s for each in some))
        for name, some in rounds.items()
    }


async def main() -> None:
    """Measure, and print a table."""
    echo = await asyncio.get_running_loop().create_server(Echo, HOST, 0)
    upstream = echo.sockets[0].getsockname()[1]
    try:
        async with proxied(upstream) as proxy:
            ports = {"direct": upstream, "proxied": proxy}
            alone, many = await compare(ports, 1), await compare(ports, CONNECTIONS)
    finally:
        echo.close()
    direct, through = alone["direct"].p50_ms, alone["proxied"].p50_ms
    sys.stdout.write(
        f"1 connection     p50 direct {direct:.3f} ms, proxied {through:.3f} ms, "
        f"added {through - direct:.3f} ms\n"
        f"{CONNECTIONS} connections   direct {many['direct'].per_s:,.0f} round trips/s, "
        f"proxied {many['proxied'].per_s:,.0f}\n"
    )


if __name__ == "__main__":
    uvloop.run(main())
