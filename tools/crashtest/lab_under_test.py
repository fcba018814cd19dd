"""A lab in a process group of its own, as from a terminal, and in directories of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tools.crashtest.leftover_watch import LeftoverWatch

ROOT = Path(__file__).parents[2]
POLL_S = 0.01
STARTED_S = 60.0
SWEPT_S = 10.0
GUARDIAN = "guardian"
PROGRAM = "tools.crashtest.program"


@dataclass(frozen=True)
class LabHome:
    """Directories of one lab."""

    path: Path

    @property
    def tmp(self) -> Path:
        """TMPDIR."""
        return self.path / "tmp"

    @property
    def cwd(self) -> Path:
        """Working directory."""
        return self.path / "cwd"

    @property
    def record(self) -> Path:
        """Disk of the run directory."""
        return self.path / "record"

    @property
    def run(self) -> Path:
        """Run directory."""
        return self.record / "run"

    def has_event(self, kind: str) -> bool:
        """Return True if an event of this kind is recorded."""
        try:
            return f'"kind": "{kind}"' in (self.run / "events.jsonl").read_text()
        except OSError:
            return False


@contextmanager
def lab_home() -> Iterator[LabHome]:
    """Make a temporary home that every user can enter, as Postgres' must."""
    path = Path(tempfile.mkdtemp(prefix="crashtest-", dir="/tmp")).resolve()
    path.chmod(0o711)
    home = LabHome(path)
    try:
        for folder in (home.tmp, home.cwd, home.record):
            folder.mkdir(mode=0o711)
        yield home
    finally:
        shutil.rmtree(path)


@dataclass
class LabUnderTest:
    """A running `linkstorm run short-herd`."""

    home: LabHome
    watch: LeftoverWatch
    process: subprocess.Popen[str]

    @property
    def ended(self) -> bool:
        """True once the lab's own process has ended."""
        return self.process.poll() is not None

    def part_now(self, name: str) -> psutil.Process | None:
        """Return the first process of a part, if there is one."""
        return next((each for each in self.watch.processes() if _is(each, name)), None)

    def part(self, name: str) -> psutil.Process | None:
        """Wait for the first process of a part; None if the run ends before."""
        deadline_s = time.monotonic() + STARTED_S
        while (found := self.part_now(name)) is None and not self.ended:
            if time.monotonic() > deadline_s:
                break
            time.sleep(POLL_S)
        return found


def _is(process: psutil.Process, name: str) -> bool:
    try:
        if name == GUARDIAN:
            return "chaos.runtimes.embedded.guardian" in process.cmdline()
        return Path(process.cwd()).name == name
    except (psutil.Error, OSError):
        return False


@contextmanager
def lab_under_test(home: LabHome, watch: LeftoverWatch, *more: str) -> Iterator[LabUnderTest]:
    """Start a lab, with `more` arguments."""
    command = ["run", "short-herd", "--arm", "singleflight", "--runtime", "embedded"]
    arguments = [*command, "--into", str(home.run), *more]
    with started(home, PROGRAM, arguments) as process:
        watch.wait_for(process.pid)
        try:
            yield LabUnderTest(home, watch, process)
        finally:
            process.kill()
            process.wait()
            watch.left_after(SWEPT_S)  # after an interrupted round


def linkstorm(home: LabHome, *arguments: str) -> tuple[int, str]:
    """Run another command; return its exit code and output."""
    with started(home, PROGRAM, list(arguments)) as process:
        stdout, stderr = process.communicate(timeout=STARTED_S)
    return process.returncode, stdout + stderr


def started(
    home: LabHome, module: str, arguments: list[str], stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start a module in this home."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=home.cwd,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(home.tmp),
            "DOCKER_HOST": f"unix://{home.path}/none",  # heal then sees no lab in containers
        },
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
