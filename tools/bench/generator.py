"""`python -m tools.bench generator`: rate that our generator holds on one core, beside Locust's.

Our open loop and Locust's closed loop of FastHttpUsers run one after the other on the same core,
against the same nginx on the other cores, which serves five times the rate that either can send:
the generators are the bottleneck.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Annotated

import psutil
import typer

from chaos.engine.load import LocustLoad, locust_against
from chaos.model.evidence import LATE_SHARE_MAX, Generator
from chaos.model.stack import PartDied, StackError
from chaos.model.traffic import Traffic
from chaos.perf.cores import Cores, TooFewCores, choose, on
from chaos.runtimes.embedded import binaries
from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.part_clients import http_status
from tools.bench.report import FAILED, USAGE, Report, Table, finish, refuse, say
from tools.bench.tools import closed_loop, ended

USERS = 50
SHARE_WANTED, LAG_MS = 0.6, 10.0  # of the closed loop's rate; the dispatch lag's 99th percentile
FOREIGN_SHARE, TRIES = 0.10, 3
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
_START_S, _POLL_S = 20.0, 0.05
_BEFORE_END_S = 0.5
_NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 10000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    server {{
        listen {host}:{port} backlog=4096;
        location = /api/links {{ return 201 '{{"code": "known"}}'; }}
        location / {{ return 302 https://example.org/target; }}
    }}
}}
"""


@dataclass(frozen=True)
class Sending:
    """One generator at one rate, for some seconds."""

    rps: float
    cpu_share: float  # of the core, by its process
    foreign_share: float  # of the core, by other programs and the host
    generator: Generator | None = None  # counters of our generator
    share: float = 1.0  # requested, of the closed loop's rate in the same round

    @property
    def cpu_us(self) -> float:
        """CPU time of its process for each request."""
        return 1e6 * self.cpu_share / self.rps

    @property
    def held(self) -> bool:
        """True if all requests were sent, and 99 % of them within 10 ms of their time."""
        counts = self.generator
        return counts is not None and (
            counts.unsent == 0
            and counts.late <= LATE_SHARE_MAX * counts.sent
            and counts.lag_p99_ms <= LAG_MS
        )


def generator(
    rounds: Annotated[int, typer.Option(min=1, help="Number of measurements.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="At each rate.")] = 4.0,
) -> None:
    """Measure the rate that our generator holds on one core, beside Locust's FastHttpUser.

    Takes two minutes. Exit code 0 if it holds 0.6 of the closed loop's rate with a dispatch lag of
    at most 10 ms (p99) in more than half of the quiet rounds; 1 if not, or if something did not
    start; 2 if the machine has too few cores; 3 if no round was quiet.
    """
    try:
        cores = choose()
        with tempfile.TemporaryDirectory(prefix="generator-") as folder, _nginx(cores) as url:
            found = [
                _round(url, Path(folder) / str(number), cores, seconds) for number in range(rounds)
            ]
    except TooFewCores as problem:
        refuse(str(problem), USAGE)
    except (StackError, PartDied, OSError) as problem:
        refuse(str(problem), FAILED)
    finish("generator", judged(found), cores)


def judged(measured: Sequence[Sequence[Sending]]) -> Report:
    """Report a row for the closed loop, and one for each rate of ours.

    Only quiet rounds count, in which the generators had their core; without any, all are shown and
    the report is invalid.
    """
    quiet = [one for one in measured if max(s.foreign_share for s in one) <= FOREIGN_SHARE]
    rounds = quiet or measured
    closed = [sendings[0] for sendings in rounds]
    rows = [[f"FastHttpUser, closed loop, {USERS} users", *_figures(closed), "–", "–", "–"]]
    held: dict[float, int] = {}
    for share in SHARES:
        own = [one for sendings in rounds for one in sendings[1:] if one.share == share]
        counts = [one.generator for one in own if one.generator]
        if not own:
            continue
        held[share] = sum(one.held for one in own)
        lag_p50 = _range([one.lag_p50_ms for one in counts], ".2f")
        lag_p99 = _range([one.lag_p99_ms for one in counts], ".2f")
        times = f"{held[share]} of {len(rounds)}"
        rows.append([f"linkstorm at {share:g} of that", *_figures(own), lag_p50, lag_p99, times])
    headings = ["", "requests/s", "CPU µs/request", "lag p50 ms", "lag p99 ms", "held"]
    most = max((share for share, times in held.items() if times > len(rounds) / 2), default=0.0)
    title = "One core for the generator, nginx on the others; median and range of the rounds"
    worst = max(one.foreign_share for sendings in measured for one in sendings)
    return Report(
        tables=[Table(title, headings, rows)],
        failed=[f"it holds {most:g} of the closed loop's rate, not {SHARE_WANTED}"]
        * (most < SHARE_WANTED),
        invalid=[f"others took up to {worst:.0%} of the generator's core in every round"]
        * (not quiet),
        notes=[
            f"held in most rounds: up to {most:g} of the closed loop's rate",
            f"{len(quiet)} of {len(measured)} rounds were quiet: others took at most "
            f"{FOREIGN_SHARE:.0%} of the core",
        ],
    )


def _figures(own: Sequence[Sending]) -> list[str]:
    return [_range([one.rps for one in own], ",.0f"), _range([one.cpu_us for one in own], ".0f")]


def _range(values: Sequence[float], form: str) -> str:
    middle, least, most = (format(f(values), form) for f in (median, min, max))
    return middle if least == most else f"{middle} ({least}–{most})"


# --- measuring ---------------------------------------------------------------------------------


def _round(url: str, folder: Path, cores: Cores, seconds: float) -> list[Sending]:
    """Measure the closed loop, then ours at rising shares of its rate, until two are not held."""
    folder.mkdir()
    with on(frozenset({cores.server})):
        closed = _undisturbed(lambda: _closed(url, folder, cores, seconds))
        found = [closed]
        with locust_against(url, folder, folder) as ours:
            segments = count(1)
            for share in SHARES:
                traffic = Traffic(share * closed.rps, keys=1)
                ours.prepare(traffic)
                once = partial(_open, ours, segments, traffic, share, cores, seconds)
                sending = _undisturbed(once)
                found.append(sending)
                if len(found) > 2 and not any(one.held for one in found[-2:]):
                    break
    return found


def _undisturbed(measured: Callable[[], Sending]) -> Sending:
    """Return the first of a few tries without disturbance by other programs, or else the last."""
    for _ in range(TRIES):
        sending = measured()
        say(f"{sending.rps:,.0f}/s, others took {sending.foreign_share:.0%} of the core")
        if sending.foreign_share <= FOREIGN_SHARE:
            break
    return sending


def _open(
    ours: LocustLoad,
    segments: Iterator[int],
    traffic: Traffic,
    share: float,
    cores: Cores,
    seconds: float,
) -> Sending:
    segment = next(segments)
    with _busy(cores) as core:
        ours.start(segment, traffic, seconds, seed=segment)
        counts = ended(ours, seconds)
    foreign = max(0.0, core() - counts.cpu_share)
    return Sending(counts.sent / seconds, counts.cpu_share, foreign, counts, share)


def _closed(url: str, folder: Path, cores: Cores, seconds: float) -> Sending:
    """Measure the closed loop by Locust's own counters, from the first to the last response."""
    log, summary = folder / "closed.log", folder / "closed.json"
    users = ["-u", str(USERS), "-r", str(USERS), "-t", f"{seconds:g}s"]
    command = closed_loop(url, *users, "--json-file", str(summary.with_suffix("")))
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=folder)
    try:
        _until(lambda: b"users spawned" in log.read_bytes(), "Locust's closed loop did not start")
        measured = psutil.Process(process.pid)
        began_s, began_cpu_s = time.monotonic(), _cpu_s(measured)
        with _busy(cores) as core:
            time.sleep(seconds - _BEFORE_END_S)
        cpu_share = (_cpu_s(measured) - began_cpu_s) / (time.monotonic() - began_s)
        process.wait(_START_S)
    finally:
        process.kill()
        process.wait()
    (counted,) = json.loads(summary.read_text())
    rps = counted["num_requests"] / (counted["last_request_timestamp"] - counted["start_time"])
    return Sending(rps, cpu_share, max(0.0, core() - cpu_share))


@contextmanager
def _busy(cores: Cores) -> Iterator[Callable[[], float]]:
    """Measure the share of the core that all programs and the host used inside the context."""
    began_s, before_s = time.monotonic(), _core_s(cores)
    share = math.nan
    yield lambda: share
    share = (_core_s(cores) - before_s) / (time.monotonic() - began_s)


def _core_s(cores: Cores) -> float:
    core = psutil.cpu_times(percpu=True)[cores.server]
    return float(core.user + core.nice + core.system + core.steal)


def _cpu_s(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def _until(happened: Callable[[], bool], otherwise: str) -> None:
    deadline_s = time.monotonic() + _START_S
    while not happened():
        if time.monotonic() > deadline_s:
            raise StackError(otherwise)
        time.sleep(_POLL_S)


@contextmanager
def _nginx(cores: Cores) -> Iterator[str]:
    """Start a server faster than the generators, on the cores that are not measured."""
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder, reserved(["nginx"]) as ports:
        conf = Path(folder) / "nginx.conf"
        conf.write_text(_NGINX.format(host=HOST, port=ports["nginx"]))
        with on(cores.others):
            process = subprocess.Popen(
                [binaries.nginx(), "-p", folder, "-c", str(conf)], stderr=subprocess.DEVNULL
            )
        try:
            address = (HOST, ports["nginx"])
            _until(lambda: http_status(address, "/any") == 302, "nginx did not start")
            yield f"http://{HOST}:{ports['nginx']}"
        finally:
            process.kill()
            process.wait()
