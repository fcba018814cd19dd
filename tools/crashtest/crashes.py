"""Every way to end a lab, and the exit codes to expect of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO

import psutil

from chaos.runtimes.topology import PARTS
from tools.crashtest.lab_under_test import GUARDIAN, LabHome, LabUnderTest

VICTIMS = (*PARTS, "load", GUARDIAN)
JUDGED = frozenset([0, 1, 3])
INVALID, INTERRUPTED = 3, 130
NEVER_STARTED = "never started"
DISK_MB = 600
BLOCK = bytes(1 << 16)

Inject = Callable[[LabUnderTest], str]  # returns a detail, such as the part
Prepare = Callable[[LabHome, Random], AbstractContextManager[Inject]]


@dataclass(frozen=True)
class Crash:
    """One way to end a lab.

    `prepare` may change the home before the lab starts, and yields the crash itself. The lab must
    exit with one of `codes`; after the end of its run, with the code of its verdict, too.
    """

    name: str
    prepare: Prepare
    codes: frozenset[int]
    needs_heal: bool = False  # the guardian is dead, too, so `linkstorm heal` must clean up


def _at_once(inject: Inject) -> Prepare:
    return lambda _home, _random: nullcontext(inject)


def _signalled(number: signal.Signals) -> Prepare:
    def inject(lab: LabUnderTest) -> str:
        lab.process.send_signal(number)
        return ""

    return _at_once(inject)


def _ctrl_c(lab: LabUnderTest) -> str:
    """Signal the whole process group, as a terminal does."""
    with suppress(ProcessLookupError):
        os.killpg(lab.process.pid, signal.SIGINT)
    return ""


def _part_dies(_home: LabHome, random: Random) -> AbstractContextManager[Inject]:
    name = random.choice(VICTIMS)

    def inject(lab: LabUnderTest) -> str:
        if (process := lab.part(name)) is None:
            return f"{name} {NEVER_STARTED}"
        _kill(process)
        return name

    return nullcontext(inject)


def _kill_lab_and_guardian(lab: LabUnderTest) -> str:
    if (guardian := lab.part_now(GUARDIAN)) is not None:
        _kill(guardian)
    lab.process.kill()
    return "" if guardian else "no guardian yet"


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _closed_stdout(_home: LabHome, random: Random) -> AbstractContextManager[Inject]:
    too = random.choice([False, True])

    def inject(lab: LabUnderTest) -> str:
        pipes = [lab.process.stdout, lab.process.stderr if too else None]
        for pipe in filter(None, pipes):
            pipe.close()
        return "and stderr" if too else ""

    return nullcontext(inject)


@contextmanager
def _full_disk(home: LabHome, random: Random) -> Iterator[Inject]:
    """Put the stack or the record on a small disk, and fill it."""
    disk = random.choice([home.tmp, home.record])
    with _small_disk(disk), (disk / "filler").open("wb", buffering=0) as filler:
        (disk / "filler").unlink()  # closing it frees the space

        def inject(_lab: LabUnderTest) -> str:
            _fill(filler)
            return f"of {disk.name}"

        yield inject


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=711", "crashtest", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(file: IO[bytes]) -> None:
    with suppress(OSError):
        while True:
            file.write(BLOCK)


def can_mount(folder: Path) -> bool:
    """Return True if a tmpfs can be mounted here, which takes root and a kernel that allows it."""
    try:
        with _small_disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


PART_DIES, FULL_DISK = "part dies", "full disk"
CRASHES: Mapping[str, Crash] = {
    crash.name: crash
    for crash in (
        Crash("kill -9", _signalled(signal.SIGKILL), frozenset([-signal.SIGKILL])),
        Crash("SIGTERM", _signalled(signal.SIGTERM), frozenset([INTERRUPTED])),
        Crash("SIGHUP", _signalled(signal.SIGHUP), frozenset([INTERRUPTED])),
        Crash("Ctrl-C", _at_once(_ctrl_c), frozenset([INTERRUPTED])),
        Crash(PART_DIES, _part_dies, JUDGED),
        Crash(FULL_DISK, _full_disk, JUDGED),
        Crash("closed stdout", _closed_stdout, JUDGED),
        Crash(
            "kill -9 of lab and guardian",
            _at_once(_kill_lab_and_guardian),
            frozenset([-signal.SIGKILL]),
            needs_heal=True,
        ),
        Crash("nothing", _at_once(lambda _lab: ""), JUDGED),
    )
}
