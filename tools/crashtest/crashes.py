"""The blows: each way in which a lab is ended, and what is sensible for it to say then."""

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

from tools.crashtest.lab_under_test import GUARDIAN, LabHome, LabUnderTest

PARTS = (
    *("primary", "replica", "redis", "toxiproxy", "nginx", "web-1", "web-2", "worker", "load"),
    GUARDIAN,
)
JUDGED = frozenset([0, 1, 3])
INVALID, INTERRUPTED = 3, 130
NEVER_STARTED = "was never there"
DISK_MB = 600
BLOCK = bytes(1 << 16)

Inject = Callable[[LabUnderTest], str]  # it returns what exactly it did
Prepare = Callable[[LabHome, Random], AbstractContextManager[Inject]]


@dataclass(frozen=True)
class Crash:
    """One way to end a lab.

    `prepare` may put something under its home before it starts, and yields the stroke itself. It
    must end with one of `codes`; once its run was over, the code of its verdict will do, too.
    """

    name: str
    prepare: Prepare
    codes: frozenset[int]
    to_be_healed: bool = False  # even the guardian is dead, so `linkstorm heal` must tidy up


def _at_once(strike: Inject) -> Prepare:
    return lambda _home, _random: nullcontext(strike)


def _signalled(number: signal.Signals) -> Prepare:
    def strike(lab: LabUnderTest) -> str:
        lab.process.send_signal(number)
        return ""

    return _at_once(strike)


def _ctrl_c(lab: LabUnderTest) -> str:
    """To the whole process group, as the terminal does."""
    with suppress(ProcessLookupError):
        os.killpg(lab.process.pid, signal.SIGINT)
    return ""


def _a_part(_home: LabHome, random: Random) -> AbstractContextManager[Inject]:
    name = random.choice(PARTS)

    def strike(lab: LabUnderTest) -> str:
        if (process := lab.part(name)) is None:
            return f"{name} {NEVER_STARTED}"
        _kill(process)
        return name

    return nullcontext(strike)


def _both(lab: LabUnderTest) -> str:
    if (guardian := lab.part_now(GUARDIAN)) is not None:
        _kill(guardian)
    lab.process.kill()
    return "" if guardian else "no guardian yet"


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _no_reader(_home: LabHome, random: Random) -> AbstractContextManager[Inject]:
    too = random.choice([False, True])

    def strike(lab: LabUnderTest) -> str:
        pipes = [lab.process.stdout, lab.process.stderr if too else None]
        for pipe in filter(None, pipes):
            pipe.close()
        return "and stderr" if too else ""

    return nullcontext(strike)


@contextmanager
def _full_disk(home: LabHome, random: Random) -> Iterator[Inject]:
    """The disk of the stack, or that of the record, is a small one; then it is full."""
    disk = random.choice([home.tmp, home.record])
    with _small_disk(disk), (disk / "filler").open("wb", buffering=0) as filler:
        (disk / "filler").unlink()  # what it takes is given back when it is closed

        def strike(_lab: LabUnderTest) -> str:
            _fill(filler)
            return f"of {disk.name}"

        yield strike


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=711", "soak", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(file: IO[bytes]) -> None:
    with suppress(OSError):
        while True:
            file.write(BLOCK)


def may_mount(folder: Path) -> bool:
    """Whether a small disk can be made here; it takes root, and a kernel that lets it."""
    try:
        with _small_disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


PART_DIES, FULL_DISK = "part dies", "full disk"
CRASHES: Mapping[str, Crash] = {
    blow.name: blow
    for blow in (
        Crash("kill -9", _signalled(signal.SIGKILL), frozenset([-signal.SIGKILL])),
        Crash("SIGTERM", _signalled(signal.SIGTERM), frozenset([INTERRUPTED])),
        Crash("SIGHUP", _signalled(signal.SIGHUP), frozenset([INTERRUPTED])),
        Crash("Ctrl-C", _at_once(_ctrl_c), frozenset([INTERRUPTED])),
        Crash(PART_DIES, _a_part, JUDGED),
        Crash(FULL_DISK, _full_disk, JUDGED),
        Crash("closed stdout", _no_reader, JUDGED),
        Crash(
            "kill -9 of lab and guardian",
            _at_once(_both),
            frozenset([-signal.SIGKILL]),
            to_be_healed=True,
        ),
        Crash("nothing", _at_once(lambda _lab: ""), JUDGED),
    )
}
