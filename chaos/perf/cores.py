"""Assign cores to processes, and measure their CPU time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_SCHEDULED = 2  # CPUCLOCK_SCHED of Linux: the time that the scheduler accounts for


class TooFewCores(Exception):
    """Server and client cannot each have a core."""


@dataclass(frozen=True)
class Cores:
    """The measured core, and the others."""

    server: int
    others: frozenset[int]

    @property
    def served(self) -> frozenset[int]:
        """The measured core, as a set."""
        return frozenset({self.server})


def choose() -> Cores:
    """Give the server the last allowed core: the first one often serves interrupts, too."""
    if not hasattr(os, "sched_setaffinity"):
        raise TooFewCores("this needs Linux: a program must choose its core")
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise TooFewCores(
            "this needs two cores, one for the server and one for the client: "
            "on one they would only measure each other"
        )
    return Cores(allowed[-1], frozenset(allowed[:-1]))


@contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Run on these cores, with every process that is started meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(processes: Iterable[psutil.Process], cores: frozenset[int]) -> None:
    """Move running processes to these cores, with all their threads."""
    for process in processes:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):  # it has ended
            for thread in process.threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)


@dataclass(frozen=True)
class Spent:
    """CPU time in seconds: of one server with its children, and of the cores."""

    server_s: float
    server_core_s: float  # by programs and the host (steal), without interrupts
    others_idle_s: float


def spent(server: psutil.Process, cores: Cores) -> Spent:
    """Read the CPU times since the machine started."""
    per_core = psutil.cpu_times(percpu=True)
    one = per_core[cores.server]
    return Spent(
        server_s=sum(_cpu_s(process) for process in family(server)),
        server_core_s=one.user + one.nice + one.system + one.steal,
        others_idle_s=_idle_s(per_core, cores.others),
    )


def idle_s(cores: frozenset[int]) -> float:
    """Return the time that these cores had nothing to do, since the machine started."""
    return _idle_s(psutil.cpu_times(percpu=True), cores)


def _idle_s(per_core: Sequence[Any], cores: frozenset[int]) -> float:
    return float(sum(per_core[core].idle + per_core[core].iowait for core in cores))


def cpu_s(first: psutil.Process) -> float:
    """Return the CPU time of a process and its descendants, those included that have ended.

    Clocks count all threads of the living to the nanosecond. What ended children used is counted
    with the parent that waited for them, in hundredths of a second: until then it is in none.
    """
    return sum(_clock_s(process.pid) + _ended_s(process) for process in family(first))


def wanted_s(first: psutil.Process) -> float:
    """Return the CPU time that a process and its descendants used or stood in line for.

    Another program on its core makes a process wait, but want no less.
    """
    return sum(wanted_by_one_s(process.pid) for process in family(first))


def wanted_by_one_s(pid: int) -> float:
    """Return the CPU time that the threads of one process used or stood in line for.

    They are the first two figures of Linux's `schedstat`, in nanoseconds.
    """
    figures = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # it has ended
            figures += sum(map(int, task.read_text(encoding="ascii").split()[:2]))
    return figures / 1e9


def _ended_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.children_user + times.children_system)
    return 0.0


def _clock_s(pid: int) -> float:
    """Read the clock that `clock_getcpuclockid` names: its id is made of the process's."""
    with suppress(OSError):  # it has ended
        return time.clock_gettime((~pid << 3) | _SCHEDULED)
    return 0.0


def family(first: psutil.Process) -> list[psutil.Process]:
    """Return a process and its descendants."""
    return [first, *first.children(recursive=True)]


def rss_mb(server: psutil.Process) -> float:
    """Return the memory of a server with its children, in millions of bytes."""
    return sum(process.memory_info().rss for process in family(server)) / 1e6


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
