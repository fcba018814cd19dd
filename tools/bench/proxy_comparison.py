"""Time each toxic on our server and on the original in turn; exit code 0 if they agree.

`python -m tools.bench.proxy_comparison --beside /path/to/toxiproxy-server` prints a table:
means over all rounds, and the ratio ours to theirs, a mean over rounds with its 95 % interval.
Both servers run all the time and rounds alternate between them. Times agree within 2 ms or
2 %, pauses between slices within 0.1 ms or 2 %, rates within 3 %. Exit codes: 0 all agree, 1 some
do not, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from statistics import mean, stdev
from urllib.error import URLError

import psutil

HOST = "127.0.0.1"
DEADLINE_S = 30.0
ROUNDS = 5
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}  # by rounds
TIME_MS, TIME_SHARE, RATE_SHARE = 2.0, 0.02, 0.03
PAUSE_MS = 0.1  # many pauses follow each other, so each has to agree more closely
SLICE_BYTES = 500
MESSAGE = bytes(64)

Pair = tuple[socket.socket, socket.socket]


class ProxyUnderTest:
    """A Toxiproxy server with one proxy at a time, and the listener behind it."""

    def __init__(self, command: list[str]) -> None:
        self._api = f"http://{HOST}:{command[-1]}"
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(DEADLINE_S)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._wait_until_up()

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """Call the HTTP API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._api + path, data, method=method)
        with self._opener.open(request, timeout=DEADLINE_S) as answer:
            return bytes(answer.read())

    @contextmanager
    def under(self, toxic: str, attributes: dict[str, int]) -> Iterator[Callable[[], Pair]]:
        """Create a proxy with that toxic downstream; each call opens a client and its peer."""
        upstream = f"{HOST}:{self._listener.getsockname()[1]}"
        made = {"name": "timed", "listen": f"{HOST}:0", "upstream": upstream}
        host, port = json.loads(self.ask("POST", "/proxies", made))["listen"].split(":")
        opened: list[socket.socket] = []

        def connect() -> Pair:
            client = socket.create_connection((host, int(port)), DEADLINE_S)
            peer, _ = self._listener.accept()
            for each in (client, peer):
                each.settimeout(DEADLINE_S)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.extend((client, peer))
            return client, peer

        try:
            self.ask("POST", "/proxies/timed/toxics", {"type": toxic, "attributes": attributes})
            yield connect
        finally:
            for each in opened:
                each.close()
            self.ask("DELETE", "/proxies/timed")

    def cpu_s(self) -> float:
        """Return the CPU time of the process so far."""
        used = psutil.Process(self._process.pid).cpu_times()
        return float(used.user + used.system)

    def stop(self) -> None:
        """End the process."""
        self._listener.close()
        self._process.terminate()
        self._process.wait(DEADLINE_S)

    def _wait_until_up(self) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                self.ask("GET", "/version")
                return
            except URLError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)


def crossing_ms(connect: Callable[[], Pair], times: int) -> float:
    """Measure the time for a message to arrive, one after the other on one connection."""
    client, peer = connect()
    samples_s = []
    for _ in range(times):
        begin_s = time.perf_counter()
        peer.sendall(MESSAGE)
        client.recv(len(MESSAGE))
        samples_s.append(time.perf_counter() - begin_s)
    return mean(samples_s) * 1000


def bulk_s(connect: Callable[[], Pair], size_bytes: int) -> float:
    """Measure the time for so much data to arrive."""
    client, peer = connect()
    peer.setblocking(False)
    begin_s, left = time.perf_counter(), memoryview(bytes(size_bytes))
    got_bytes = 0
    client.settimeout(0.002)
    while got_bytes < size_bytes:
        with suppress(BlockingIOError):
            left = left[peer.send(left) :] if left else left
        try:
            got_bytes += len(client.recv(1 << 20))
        except TimeoutError:
            assert time.perf_counter() - begin_s < DEADLINE_S, "the data does not arrive"
    return time.perf_counter() - begin_s


def rate_kb_s(connect: Callable[[], Pair], size_bytes: int) -> float:
    """The rate at which so much data arrives, in kilobytes a second."""
    return size_bytes / 1000 / bulk_s(connect, size_bytes)


def pause_ms(connect: Callable[[], Pair], slices: int) -> float:
    """Measure the pause between two slices of one chunk."""
    return bulk_s(connect, slices * SLICE_BYTES) * 1000 / (slices - 1)


def closing_ms(connect: Callable[[], Pair], times: int) -> float:
    """Measure the time for a close to arrive."""
    samples_s = []
    for _ in range(times):
        client, peer = connect()
        begin_s = time.perf_counter()
        peer.close()
        client.recv(1)
        samples_s.append(time.perf_counter() - begin_s)
    return mean(samples_s) * 1000


def silence_ms(connect: Callable[[], Pair], times: int) -> float:
    """Measure how long an idle connection stays open."""
    samples_s = []
    for _ in range(times):
        begin_s = time.perf_counter()
        client, _ = connect()
        client.recv(1)
        samples_s.append(time.perf_counter() - begin_s)
    return mean(samples_s) * 1000


@dataclass(frozen=True)
class ToxicCase:
    """A toxic, and the measurement under it."""

    toxic: str
    attributes: dict[str, int]
    measure: Callable[[Callable[[], Pair], int], float]
    amount: int
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Toxic and attributes, as in the table."""
        return " ".join([self.toxic, *(f"{key}={value}" for key, value in self.attributes.items())])

    @property
    def unit(self) -> str:
        """Unit of the measurement."""
        return "KB/s" if self.measure is rate_kb_s else "ms"

    @property
    def ratio(self) -> tuple[float, float]:
        """Ours to theirs, a mean over rounds, and half the width of its 95 % interval."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return mean_with_interval([ours / theirs for ours, theirs in pairs])

    @property
    def agrees(self) -> bool:
        """True if the means differ by no more than allowed."""
        theirs, apart = mean(self.theirs), abs(mean(self.ours) - mean(self.theirs))
        if self.unit == "KB/s":
            return apart <= theirs * RATE_SHARE
        least_ms = PAUSE_MS if self.measure is pause_ms else TIME_MS
        return apart <= max(least_ms, theirs * TIME_SHARE)


def cases() -> list[ToxicCase]:
    """Return all cases."""
    return [
        *(
            ToxicCase("latency", {"latency": ms, "jitter": 0}, crossing_ms, times)
            for ms, times in ((1, 60), (5, 40), (20, 20), (100, 8), (300, 4), (1000, 1))
        ),
        ToxicCase("latency", {"latency": 20, "jitter": 8}, crossing_ms, 80),
        ToxicCase("latency", {"latency": 100, "jitter": 10}, crossing_ms, 24),
        ToxicCase("bandwidth", {"rate": 100}, rate_kb_s, 100_000),
        ToxicCase("bandwidth", {"rate": 1_000}, rate_kb_s, 1_000_000),
        ToxicCase("bandwidth", {"rate": 20_000}, rate_kb_s, 20_000_000),
        *(
            ToxicCase("slicer", {"average_size": SLICE_BYTES, "delay": us}, pause_ms, slices)
            for us, slices in ((1_000, 64), (2_500, 64), (20_000, 32))
        ),
        *(ToxicCase("slow_close", {"delay": ms}, closing_ms, n) for ms, n in ((50, 6), (400, 3))),
        *(ToxicCase("timeout", {"timeout": ms}, silence_ms, n) for ms, n in ((50, 6), (400, 3))),
    ]


def measured(ours: ProxyUnderTest, theirs: ProxyUnderTest, rounds: int) -> list[ToxicCase]:
    """Measure every case on both servers, in alternating rounds."""
    measures = cases()
    for number in range(rounds):
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
        for case in measures:
            for server, samples in ((ours, case.ours), (theirs, case.theirs)):
                with server.under(case.toxic, case.attributes) as connect:
                    samples.append(case.measure(connect, case.amount))
    return measures


def table(measures: list[ToxicCase]) -> str:
    """Render the table as Markdown."""
    lines = ["| toxic | ours | Toxiproxy | ratio, 95 % | |", "|---|---|---|---|---|"]
    for case in measures:
        ratio, half = case.ratio
        ours, theirs = (f"{mean(each):,.2f} {case.unit}" for each in (case.ours, case.theirs))
        verdict = "agrees" if case.agrees else "DIFFERS"
        lines.append(f"| {case.name} | {ours} | {theirs} | {ratio:.3f} ± {half:.3f} | {verdict} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and exit with 0 if all agree."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.proxy_comparison")
    parser.add_argument("--beside", required=True, help="the original's program")
    parser.add_argument("--rounds", type=int, default=ROUNDS, choices=sorted(T_95))
    arguments = parser.parse_args()
    ours = ProxyUnderTest(ours_on(free_port()))
    try:
        theirs = ProxyUnderTest([arguments.beside, "-host", HOST, "-port", free_port()])
        try:
            measures = measured(ours, theirs, arguments.rounds)
        finally:
            theirs.stop()
    finally:
        ours.stop()
    sys.stdout.write(table(measures) + "\n")
    sys.exit(0 if all(case.agrees for case in measures) else 1)


def ours_on(port: str) -> list[str]:
    """Return the command of our server."""
    return [sys.executable, "-m", "chaos.toxiproxy", "-port", port]


def mean_with_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and half the width of its 95 % interval."""
    return mean(samples), T_95[len(samples)] * stdev(samples) / len(samples) ** 0.5


def free_port() -> str:
    """Return a free port."""
    with socket.create_server((HOST, 0)) as probe:
        return str(probe.getsockname()[1])


if __name__ == "__main__":
    main()
