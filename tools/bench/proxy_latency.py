"""Count round trips through ours and the original: `python -m tools.bench.proxy_latency`.

With `--beside /path/to/toxiproxy-server` both run all the time, and short rounds alternate
between them for each mix of toxics and number of connections: medians over rounds, and the ratio
ours to theirs, a mean over rounds with its 95 % interval. Without it: ours alone. The toxics are
those that let data pass, on both streams. Client and echo server share this process; a server has
one of its own, so a round trip through it also pays for the changes of process. Exit codes: 0 no
mix is surely slower than the original, 1 some are, 2 usage. On a shared machine
the CPU time of a round trip is more reliable: a server with more threads gets a larger share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import cast
from urllib.parse import quote

import uvloop

from tools.bench.proxy_comparison import (
    HOST,
    T_95,
    ProxyUnderTest,
    free_port,
    mean_with_interval,
    ours_on,
)

PAYLOAD = bytes(100)
ROUNDS = 6
ROUND_S = 0.25
CONNECTIONS = (1, 16, 64)
OURS, THEIRS, DIRECT = "ours", "Toxiproxy", "direct"
MEASURES = ("round trips/s", "p50 added, ms", "CPU, µs")


class EchoProtocol(asyncio.Protocol):
    """Send back all data."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send the data back."""
        self.transport.write(data)


class RoundTripClient(EchoProtocol):
    """Send a payload, wait for it to come back, and begin again until the time is up."""

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
    """Round trips for a while, by all connections together."""

    p50_ms: float
    per_s: float
    trips: int


async def measure(port: int, connections: int) -> Round:
    """Measure round trips for `ROUND_S`."""
    loop = asyncio.get_running_loop()
    begin_s = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: RoundTripClient(begin_s + ROUND_S), HOST, port))[1]
        for _ in range(connections)
    ]
    for client in clients:
        client.send()
    await asyncio.gather(*(client.done for client in clients))
    samples_s = [sample for client in clients for sample in client.round_trips_s]
    per_s = len(samples_s) / (time.perf_counter() - begin_s)
    return Round(median(samples_s) * 1000, per_s, len(samples_s))


@dataclass(frozen=True)
class Mix:
    """Toxics that a round trip goes through on its way there, and again on its way back."""

    name: str
    toxics: tuple[dict[str, object], ...] = ()


def mixes() -> list[Mix]:
    """Return no toxic, and every kind that lets data pass."""

    def one(kind: str, toxicity: int = 1, **attributes: int) -> Mix:
        name = " ".join([kind, *(f"{key}={value}" for key, value in attributes.items())])
        toxic = {"type": kind, "toxicity": toxicity, "attributes": attributes}
        return Mix(name if toxicity else f"{kind}, toxicity 0", (toxic,))

    return [
        Mix("no toxic"),
        one("noop"),
        Mix("three noops", one("noop").toxics * 3),
        one("latency", latency=0),
        one("latency", latency=1),
        one("bandwidth", rate=1_000_000),
        one("slow_close", delay=10),
        one("limit_data", bytes=1 << 50),
        one("slicer", average_size=1000),
        one("slicer", average_size=50),
        one("timeout", toxicity=0),
        one("reset_peer", toxicity=0),
    ]


@dataclass
class Comparison:
    """Rounds of a mix on a number of connections, for each server."""

    mix: Mix
    connections: int
    rounds: dict[str, list[Round]]
    cpu_s: dict[str, float]

    def per_s(self, server: str) -> float:
        """Return round trips a second, a median over rounds."""
        return median(each.per_s for each in self.rounds[server])

    def p50_ms(self, server: str) -> float:
        """Return the time of a round trip, a median over rounds."""
        return median(each.p50_ms for each in self.rounds[server])

    def cpu_us(self, server: str) -> float:
        """Return the server's CPU time for a round trip."""
        return self.cpu_s[server] / sum(each.trips for each in self.rounds[server]) * 1e6

    @property
    def ratio(self) -> tuple[float, float]:
        """Ours to theirs, a mean over rounds, and half the width of its 95 % interval."""
        pairs = zip(self.rounds[OURS], self.rounds[THEIRS], strict=True)
        return mean_with_interval([ours.per_s / theirs.per_s for ours, theirs in pairs])

    @property
    def slower(self) -> bool:
        """True if ours is slower beyond its 95 % interval."""
        if THEIRS not in self.rounds:
            return False
        middle, half = self.ratio
        return middle + half < 1


def proxied(server: ProxyUnderTest, mix: Mix, upstream: int) -> int:
    """Create a proxy with these toxics; return its port."""
    made = {"name": mix.name, "listen": f"{HOST}:0", "upstream": f"{HOST}:{upstream}"}
    listen = json.loads(server.ask("POST", "/proxies", made))["listen"]
    for stream in ("upstream", "downstream"):
        for place, toxic in enumerate(mix.toxics):
            named = toxic | {"name": f"{place} {stream}", "stream": stream}
            server.ask("POST", f"/proxies/{quote(mix.name)}/toxics", named)
    return int(listen.rpartition(":")[2])


async def compared(
    servers: Mapping[str, ProxyUnderTest], rounds: int, connections: Sequence[int]
) -> AsyncIterator[Comparison]:
    """Measure every mix on every number of connections, in rounds that alternate."""
    echo = await asyncio.get_running_loop().create_server(EchoProtocol, HOST, 0)
    upstream = echo.sockets[0].getsockname()[1]
    try:
        for mix in mixes():
            ports = {name: proxied(server, mix, upstream) for name, server in servers.items()}
            ports |= {DIRECT: upstream}
            for many in connections:
                done: dict[str, list[Round]] = {name: [] for name in ports}
                begin_s = {name: server.cpu_s() for name, server in servers.items()}
                for _ in range(rounds):
                    for name, port in ports.items():
                        done[name].append(await measure(port, many))
                used_s = {name: each.cpu_s() - begin_s[name] for name, each in servers.items()}
                yield Comparison(mix, many, done, used_s)
    finally:
        echo.close()


def head(servers: Sequence[str]) -> str:
    """Render the head of the table."""
    names = ["toxics", "connections", *(f"{what}: {who}" for what in MEASURES for who in servers)]
    names += ["ratio, 95 %", ""] if THEIRS in servers else []
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"


def line(compared: Comparison) -> str:
    """Render a line of the table."""
    shown = [compared.mix.name, str(compared.connections)]
    servers = [name for name in (OURS, THEIRS) if name in compared.rounds]
    shown += [f"{compared.per_s(name):,.0f}" for name in servers]
    shown += [f"{compared.p50_ms(name) - compared.p50_ms(DIRECT):.3f}" for name in servers]
    shown += [f"{compared.cpu_us(name):.1f}" for name in servers]
    if THEIRS in compared.rounds:
        middle, half = compared.ratio
        shown += [f"{middle:.2f} ± {half:.2f}", "SLOWER" if compared.slower else ""]
    return f"| {' | '.join(shown)} |"


async def main() -> None:
    """Measure, print the table, and exit with 1 if ours is slower anywhere."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.proxy_latency")
    parser.add_argument("--beside", help="the original's program")
    parser.add_argument("--rounds", type=int, default=ROUNDS, choices=sorted(T_95))
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    arguments = parser.parse_args()
    slower = False
    with ExitStack() as standing:
        servers = {OURS: ProxyUnderTest(ours_on(free_port()))}
        standing.callback(servers[OURS].stop)
        if arguments.beside:
            servers[THEIRS] = ProxyUnderTest(
                [arguments.beside, "-host", HOST, "-port", free_port()]
            )
            standing.callback(servers[THEIRS].stop)
        sys.stdout.write(head(list(servers)))
        async for each in compared(servers, arguments.rounds, arguments.connections):
            sys.stdout.write(line(each) + "\n")
            sys.stdout.flush()
            slower = slower or each.slower
    sys.exit(1 if slower else 0)


if __name__ == "__main__":
    uvloop.run(main())
