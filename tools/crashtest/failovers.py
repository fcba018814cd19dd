"""Failovers in a row in one lab: what each took, and that they leave nothing, one by one or all.

After each, the lab must have the processes and data directories that it began with, and its servers
the planned slots; once it has ended, nothing at all.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tools.crashtest.lab_under_test import LabHome, lab_home, started
from tools.crashtest.leftover_watch import LeftoverWatch, segments_of, watching

ENDS_S, GONE_S, SETTLES_S = 60.0, 10.0, 10.0
POLL_S = 0.05
POSTGRES = "postgres"


@dataclass(frozen=True)
class FailoverOutcome:
    """One failover: seconds without writes, seconds until all was restored, what was wrong."""

    number: int
    primary: str
    outage_s: float
    restore_s: float
    copied: bool
    wrong: Sequence[str]


@dataclass(frozen=True)
class Failovers:
    """All failovers of a lab, the seconds it took to end, and what was wrong about the whole."""

    wanted: int
    outcomes: Sequence[FailoverOutcome]
    ended_s: float
    wrong: Sequence[str]

    @property
    def failed(self) -> bool:
        """True if anything was wrong, or a failover is missing."""
        missing = len(self.outcomes) < self.wanted
        return bool(self.wrong) or missing or any(each.wrong for each in self.outcomes)


class FailoverLabProcess:
    """The lab in its process, spoken to line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self) -> dict[str, Any]:
        """Return what it says next; `trouble` says why, where it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {"trouble": "it ended"}
        return said

    def ask(self) -> dict[str, Any]:
        """Have it fail over."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.hear()

    def end(self) -> tuple[int, str]:
        """Have it end; return its exit code, and what it wrote to stderr or that it did not end."""
        try:
            _, stderr = self._process.communicate(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            stderr = f"it did not end within {ENDS_S:g} s"
        return self._process.returncode, stderr


def play_failovers(count: int, report: Callable[[FailoverOutcome], None]) -> Failovers:
    """Bring a lab up, fail over so often, end it, and look."""
    outcomes: list[FailoverOutcome] = []
    with lab_home() as home, watching(home.cwd / "*", home.tmp / "*") as watch:
        with _failover_process(home, watch) as lab:
            wrong = [*_played(lab, count, home, watch, outcomes, report)]
            watch.note_ports()
            began_s = time.monotonic()
            code, stderr = lab.end()
            ended_s = time.monotonic() - began_s
        if code or stderr:
            wrong.append(f"exit code {code}: {stderr[-1500:]}")
        wrong += watch.left_after(GONE_S)
    return Failovers(count, outcomes, ended_s, wrong)


def _played(
    lab: FailoverLabProcess,
    count: int,
    home: LabHome,
    watch: LeftoverWatch,
    outcomes: list[FailoverOutcome],
    report: Callable[[FailoverOutcome], None],
) -> Iterator[str]:
    """Yield why it could not go on."""
    if trouble := lab.hear().get("trouble"):
        yield f"it did not come up: {trouble}"
        return
    before = inventory(home.tmp, watch)
    for number in range(1, count + 1):
        said = lab.ask()
        if trouble := said.get("trouble"):
            yield f"failover {number} did not end: {trouble}"
            return
        said["wrong"] += grown(before, home.tmp, watch)
        outcomes.append(FailoverOutcome(**said))
        report(outcomes[-1])


def grown(before: Counter[str], folder: Path, watch: LeftoverWatch) -> list[str]:
    """Describe what is there and was not before, or is no more, once the lab has settled."""
    deadline_s = time.monotonic() + SETTLES_S
    while (now := inventory(folder, watch)) != before and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return [
        f"{name}: {now[name]}, at first {before[name]}"
        for name in sorted({*before, *now})
        if now[name] != before[name]
    ]


def inventory(folder: Path, watch: LeftoverWatch) -> Counter[str]:
    """Count processes by their folder, data directories, and the shared memory of each."""
    directories = [*_data_directories(folder)]
    return Counter(
        [
            *(f"process in {name}" for name in _parts(watch.processes())),
            *(f"data directory {path}" for path in directories),
            *(f"segment of {path}, {use}" for path in directories for use in segments_of(path)),
        ]
    )


def _parts(processes: Sequence[psutil.Process]) -> Iterator[str]:
    """Yield the folder of each, without the backends of Postgres, which come and go."""
    for process in processes:
        try:
            parent = process.parent()
            if process.name() != POSTGRES or parent is None or parent.name() != POSTGRES:
                yield Path(process.cwd()).name
        except psutil.ZombieProcess:
            yield "none (zombie)"
        except psutil.NoSuchProcess:
            continue


def _data_directories(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        if "PG_VERSION" in files and "global" in folders:
            folders.clear()
            yield Path(place)


@contextmanager
def _failover_process(home: LabHome, watch: LeftoverWatch) -> Iterator[FailoverLabProcess]:
    logs = str(home.record / "logs")
    with started(home, "tools.crashtest.failover_lab", [logs], stdin=subprocess.PIPE) as process:
        watch.wait_for(process.pid)
        try:
            yield FailoverLabProcess(process)
        finally:
            process.kill()
            process.wait()
            watch.left_after(GONE_S)  # after an interrupted one


def failover_line(outcome: FailoverOutcome) -> str:
    """Return the line of one failover."""
    way = "copied" if outcome.copied else "rewound"
    first = (
        f"failover {outcome.number:<4} {outcome.primary} leads, no writes for"
        f" {outcome.outage_s:5.2f} s, {way} and restored {outcome.restore_s:5.2f} s later"
    )
    return "\n".join([first, *(f"  WRONG: {what}" for what in outcome.wrong)])


def failovers_summary(played: Failovers) -> str:
    """Return the figures of all, and what was wrong."""
    done = played.outcomes
    lines = ["", f"{len(done)} of {played.wanted} failovers"]
    if done:
        copied = sum(each.copied for each in done)
        lines += [
            f"{'':<16} median   worst",
            _figures("no writes", [each.outage_s for each in done]),
            _figures("restored after", [each.restore_s for each in done]),
            f"{len(done) - copied} servers were rewound, {copied} copied anew",
        ]
    lines.append(f"the lab ended in {played.ended_s:.1f} s")
    wrong = [str(each.number) for each in done if each.wrong]
    lines += [f"WRONG: {what}" for what in played.wrong]
    if wrong:
        lines.append(f"failovers with something wrong: {', '.join(wrong)}")
    if not played.failed:
        lines.append("nothing was left: no slot, data directory, shared memory or process")
    return "\n".join(lines)


def _figures(name: str, seconds: Sequence[float]) -> str:
    return f"{name:<16} {statistics.median(seconds):4.2f} s  {max(seconds):4.2f} s"
