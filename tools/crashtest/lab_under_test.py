"""A lab under way in a process group of its own, as a terminal starts it, in a home of its own."""

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

from tools.crashtest.leftovers import LeftoverWatch

ROOT = Path(__file__).parents[2]
POLL_S = 0.01
THERE_S = 60.0
SWEPT_S = 10.0
GUARDIAN = "guardian"


@dataclass(frozen=True)
class LabHome:
    """Where everything of one lab lies."""

    path: Path

    @property
    def tmp(self) -> Path:
        """Its TMPDIR."""
        return self.path / "tmp"

    @property
    def cwd(self) -> Path:
        """Where it is started."""
        return self.path / "cwd"

    @property
    def record(self) -> Path:
        """The disk of its run directory."""
        return self.path / "record"

    @property
    def run(self) -> Path:
        """Its run directory."""
        return self.record / "run"

    def happened(self, kind: str) -> bool:
        """Whether this event is on record."""
        try:
            return f'"kind": "{kind}"' in (self.run / "events.jsonl").read_text()
        except OSError:
            return False


@contextmanager
def lab_home() -> Iterator[LabHome]:
    """A new one, which every user may pass through, as Postgres' must."""
    path = Path(tempfile.mkdtemp(prefix="soak-", dir="/tmp")).resolve()
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
    """`linkstorm run short-herd` under way."""

    home: LabHome
    watch: LeftoverWatch
    process: subprocess.Popen[str]

    @property
    def ended(self) -> bool:
        """Whether the lab's own process is over."""
        return self.process.poll() is not None

    def part_now(self, name: str) -> psutil.Process | None:
        """The first process of a part, if there is one."""
        return next((each for each in self.watch.processes() if _is(each, name)), None)

    def part(self, name: str) -> psutil.Process | None:
        """The same, as soon as there is one; None if the run ends before."""
        deadline_s = time.monotonic() + THERE_S
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
    """A lab that has just been started, with more arguments if you like."""
    command = ["run", "short-herd", "--arm", "singleflight", "--runtime", "embedded"]
    with _popen(home, [*command, "--into", str(home.run), *more]) as process:
        watch.wait_for(process.pid)
        try:
            yield LabUnderTest(home, watch, process)
        finally:
            process.kill()
            process.wait()
            watch.left_after(SWEPT_S)  # of a round that was interrupted


def linkstorm(home: LabHome, *arguments: str) -> tuple[int, str]:
    """What another command ends with, and all that it says."""
    with _popen(home, list(arguments)) as process:
        stdout, stderr = process.communicate(timeout=THERE_S)
    return process.returncode, stdout + stderr


def _popen(home: LabHome, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.crashtest.program", *arguments],
        cwd=home.cwd,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(home.tmp),
            "DOCKER_HOST": f"unix://{home.path}/none",  # a lab in containers is not ours to heal
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
