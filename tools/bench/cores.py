"""Cores: who runs on which one, and what each was busy with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil


class TooFewCores(Exception):
    """Server and client cannot each have a core."""


@dataclass(frozen=True)
class Cores:
    """The core that is measured, and those of everybody else."""

    server: int
    others: frozenset[int]


def choose() -> Cores:
    """The server gets the last core that we may use: the first one serves the machine, too."""
    if not hasattr(os, "sched_setaffinity"):
        raise TooFewCores("only Linux lets a program choose its core, and this needs that")
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise TooFewCores(
            "this needs two cores, one for the server and one for who asks it: "
            "on one they would only measure each other"
        )
    return Cores(allowed[-1], frozenset(allowed[:-1]))


@contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Run here, and so does every process that is started meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(processes: Iterable[psutil.Process], cores: frozenset[int]) -> None:
    """Let processes that run already go on here, with all their threads."""
    for process in processes:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):  # Postgres' come and go
            for thread in process.threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)


@dataclass(frozen=True)
class Spent:
    """Seconds of CPU time: of one server with its children, and of the cores."""

    server_s: float
    server_core_s: float  # what programs and the host took of it; the network's share is nobody's
    others_idle_s: float


def spent(server: psutil.Process, cores: Cores) -> Spent:
    """Until now, ever since the machine started."""
    per_core = psutil.cpu_times(percpu=True)
    one = per_core[cores.server]
    return Spent(
        server_s=sum(_cpu_s(process) for process in family(server)),
        server_core_s=one.user + one.nice + one.system + one.steal,
        others_idle_s=sum(per_core[core].idle + per_core[core].iowait for core in cores.others),
    )


def family(first: psutil.Process) -> list[psutil.Process]:
    """A process and all that came from it."""
    return [first, *first.children(recursive=True)]


def rss_mb(server: psutil.Process) -> float:
    """Memory of a server with its children, in millions of bytes."""
    return sum(process.memory_info().rss for process in family(server)) / 1e6


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
