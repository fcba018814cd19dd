"""Load generators to compare, each run against the same server at the same rate.

Ours counts latency from the intended time. vegeta starts another worker whenever all are busy, so
it is an open loop, too; it counts from the moment a worker takes the request, which is the intended
one as long as vegeta keeps up: both are reported here. oha has a fixed number of connections, here
more than it needs, and counts from the intended time with `--latency-correction`. Locust's own
users are a closed loop, for comparison.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median as _median

import numpy as np

from chaos.engine.load import LOCUSTFILE, LocustLoad, locust_against
from chaos.model.evidence import Floats, Generator
from chaos.model.stack import StackError
from chaos.model.traffic import Traffic
from tools.bench.truth import QUANTILES

OURS, VEGETA = "linkstorm", "vegeta"
REFERENCE = "vegeta, from its intended times"
CLOSED_USERS = 10
_CLOSED_LOOP = LOCUSTFILE.with_name("closed_loop.py")
_END_S = 20.0
_POLL_S, _SETTLE_S = 0.05, 0.5
_OHA_CONNECTIONS, _OHA_OPENS_S = 1000, 1.0


@dataclass(frozen=True)
class OfferedLoad:
    """Load that every tool sends, and the folder of its files."""

    url: str
    rate_per_s: float
    duration_s: float
    folder: Path


@dataclass(frozen=True)
class ToolReading:
    """Report of a tool: latencies in seconds by quantile, and each one if available."""

    quantiles_s: Mapping[float, float]
    latencies_s: Floats
    generator: Generator | None = None  # counters of our generator

    def slower_share(self, t_s: float) -> float:
        """Return the share of slower requests; NaN of a tool without single latencies."""
        return float((self.latencies_s > t_s).mean()) if len(self.latencies_s) else float("nan")


Process = subprocess.Popen[bytes]
Readings = Mapping[str, ToolReading]  # by tool and method
Wait = Callable[[], Readings]  # for the end
Begin = Callable[[], Wait]


@dataclass(frozen=True)
class Tool:
    """A load generator: the context yields once it is ready to begin, and ends it on exit."""

    name: str
    ready: Callable[[OfferedLoad], AbstractContextManager[Begin]]
    install: str = ""  # command that installs the program; empty for ours


def installed() -> list[Tool]:
    """Return the installed tools."""
    return [tool for tool in TOOLS if not tool.install or shutil.which(tool.name)]


def missing() -> dict[str, str]:
    """Return install commands of the missing tools."""
    return {tool.name: tool.install for tool in TOOLS if tool not in installed()}


@contextmanager
def _linkstorm(load: OfferedLoad) -> Iterator[Begin]:
    traffic = Traffic(load.rate_per_s, keys=1, timeout_s=load.duration_s)
    with locust_against(load.url, load.folder, load.folder) as ours:
        ours.prepare(traffic)

        def begin() -> Wait:
            ours.start(1, traffic, load.duration_s, seed=7)
            return wait

        def wait() -> Readings:
            generator = ended(ours, load.duration_s)
            rows = _rows(load.folder / "requests-0.csv", None)
            took_s = [float(row["done_s"]) - float(row["intended_s"]) for row in rows]
            return {OURS: reading(took_s, generator)}

        yield begin


def ended(ours: LocustLoad, duration_s: float) -> Generator:
    """Wait for the end of a segment and return its counters; `StackError` if it does not end."""
    deadline_s = time.monotonic() + duration_s + _END_S
    while (generator := ours.finished()) is None:
        if time.monotonic() > deadline_s:
            raise StackError("our generator did not end in time")
        time.sleep(_POLL_S)
    return generator


@contextmanager
def _vegeta(load: OfferedLoad) -> Iterator[Begin]:
    target, results = load.folder / "target", load.folder / "results"
    target.write_text(f"GET {load.url}/known\n")
    order = ["-rate", f"{load.rate_per_s:g}", "-duration", f"{load.duration_s:g}s"]
    files = ["-targets", str(target), "-output", str(results)]
    command = ["vegeta", "attack", *order, *files, "-timeout", f"{load.duration_s:g}s"]
    with ExitStack() as running:

        def begin() -> Wait:
            process = running.enter_context(_running(command, load))
            time.sleep(_SETTLE_S)  # its start delays the others
            return lambda: _vegeta_readings(process, load, results)

        yield begin


def _vegeta_readings(process: Process, load: OfferedLoad, results: Path) -> Readings:
    """Return latencies as vegeta counts them, and from its intended times."""
    _join(process, load)
    reported = load.folder / "results.csv"
    encode = ["vegeta", "encode", "-to", "csv", "-output", str(reported), str(results)]
    subprocess.run(encode, check=True, timeout=_END_S)
    rows = _rows(reported, ("at_ns", "status", "took_ns"))
    hits = sorted((int(row["at_ns"]), int(row["took_ns"])) for row in rows)
    dues = (hits[0][0] + number * 1e9 / load.rate_per_s for number in count())
    whole = [took + max(0, at - due) for (at, took), due in zip(hits, dues, strict=False)]
    return {
        VEGETA: reading([took / 1e9 for _, took in hits]),
        REFERENCE: reading([took / 1e9 for took in whole]),
    }


@contextmanager
def _oha(load: OfferedLoad) -> Iterator[Begin]:
    """Run oha, a little before the others: it opens all its connections at once."""
    reported = load.folder / "reported.json"
    how = ["-q", f"{load.rate_per_s:g}", "-z", f"{load.duration_s:g}s", "-c", str(_OHA_CONNECTIONS)]
    output = ["--no-tui", "--output-format", "json", "-o", str(reported)]
    command = ["oha", *how, "-w", "--latency-correction", *output, f"{load.url}/known"]
    with _running(command, load) as process:
        time.sleep(_OHA_OPENS_S)

        def wait() -> Readings:
            _join(process, load)
            figures = json.loads(reported.read_text())["latencyPercentiles"]
            found = {share: float(figures[f"p{100 * share:g}"]) for share in QUANTILES}
            return {"oha, latency correction": ToolReading(found, np.empty(0))}

        yield lambda: wait


@contextmanager
def _closed_loop(load: OfferedLoad) -> Iterator[Begin]:
    """Run Locust's closed loop, a little before the others: it begins as soon as it is up."""
    kept, users = load.folder / "latencies", str(CLOSED_USERS)
    pace = f"{load.rate_per_s / CLOSED_USERS:g}"
    order = ["-u", users, "-r", users, "-t", f"{load.duration_s:g}s", "--pace", pace]
    with _running(closed_loop(load.url, *order, f"--latencies={kept}"), load) as process:
        deadline_s = time.monotonic() + _END_S
        while b"users spawned" not in (load.folder / "log").read_bytes():
            if time.monotonic() > deadline_s or process.poll() is not None:
                raise StackError("Locust's closed loop did not start")
            time.sleep(_POLL_S)

        def wait() -> Readings:
            _join(process, load)
            took_s = [float(line) / 1000 for line in kept.read_text().splitlines()]
            return {f"closed loop: {users} FastHttpUsers": reading(took_s)}

        yield lambda: wait


def closed_loop(url: str, *options: str) -> list[str]:
    """Return the command of Locust's own closed loop, with the requests that ours sends."""
    command = [sys.executable, "-m", "locust", "-f", str(_CLOSED_LOOP), "--headless"]
    return [*command, "--only-summary", "--host", url, *options]


def median(rounds: Sequence[Readings]) -> Readings:
    """Return the median of each quantile over rounds: a stall in one of them cannot move it."""
    return {name: _middle([one[name] for one in rounds]) for name in rounds[0]}


def _middle(own: Sequence[ToolReading]) -> ToolReading:
    quantiles_s = {share: _median([one.quantiles_s[share] for one in own]) for share in QUANTILES}
    reported = [one.generator for one in own if one.generator]
    return ToolReading(
        quantiles_s,
        np.concatenate([one.latencies_s for one in own]),
        Generator.together(reported) if reported else None,
    )


TOOLS = (  # those with the longest start first
    Tool("closed loop", _closed_loop),
    Tool(OURS, _linkstorm),
    Tool("oha", _oha, "cargo install oha --locked"),
    Tool(VEGETA, _vegeta, "go install github.com/tsenart/vegeta/v12@v12.12.0"),
)


def reading(latencies_s: Sequence[float], generator: Generator | None = None) -> ToolReading:
    """Summarise latencies in seconds; `StackError` if there are none."""
    if not latencies_s:
        raise StackError("a load generator reported no latency")
    values = np.array(latencies_s)
    figures = np.quantile(values, QUANTILES, method="inverted_cdf").tolist()
    return ToolReading(dict(zip(QUANTILES, figures, strict=True)), values, generator)


def _rows(path: Path, names: Sequence[str] | None) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, names))


@contextmanager
def _running(command: Sequence[str], load: OfferedLoad) -> Iterator[Process]:
    with (load.folder / "log").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=load.folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _join(process: Process, load: OfferedLoad) -> None:
    try:
        code = process.wait(load.duration_s + _END_S)
    except subprocess.TimeoutExpired:
        raise StackError(f"{process.args!r} did not end in time") from None
    if code:
        raise StackError(f"{process.args!r} ended with {code}; its log is in {load.folder}")
