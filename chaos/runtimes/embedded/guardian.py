"""The guardian: a process that outlives the lab, however it ends, and cleans up after it.

It creates the lab's folder, prints its path, and waits until its standard input closes. Only the
lab holds the other end, so this happens when the lab is done, and also when it was killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from chaos.runtimes.embedded import lab_folders
from chaos.runtimes.embedded.lab_processes import members

GRACE_S = 1.0  # between the request to end and SIGKILL
SWEEP_TIMEOUT_S = 6.0
POLL_S = 0.01


def main() -> None:
    """Keep a folder for the lab until the lab is gone, then sweep it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    try:
        folder = lab_folders.made(os.getppid())
    except OSError as error:
        sys.exit(f"no folder for the lab can be made in {lab_folders.place()}: {error.strerror}")
    try:
        with suppress(BrokenPipeError):  # the lab is gone already
            os.write(sys.stdout.fileno(), f"{folder}\n".encode())
            sys.stdin.read()
    finally:
        sweep(folder)


def sweep(folder: Path) -> None:
    """End every process of the lab, free its shared memory and remove its folder.

    A thread of the lab may still be starting parts. No path leads to the renamed folder, so the
    second pass is the last that is needed.
    """
    gone = folder.with_name(f"{folder.name}-gone")
    if folder.exists():
        end_members(folder)
        folder.rename(gone)
    if gone.exists():
        end_members(gone)
        for segment in shared_memory(gone):
            free(segment)
        shutil.rmtree(gone)


def end_members(folder: Path) -> None:
    """SIGTERM every member, and kill those that are left after `GRACE_S`."""
    terminated: set[int] = set()
    started = time.monotonic()
    while found := members(folder):
        waited_s = time.monotonic() - started
        if waited_s > SWEEP_TIMEOUT_S:
            raise TimeoutError(f"SIGKILL did not end {', '.join(map(str, found))}")
        for process in found:
            if waited_s > GRACE_S:
                _send(process, signal.SIGKILL)
            elif process.pid not in terminated:
                terminated.add(process.pid)
                _terminate(process)
        time.sleep(POLL_S)


def _terminate(process: psutil.Process) -> None:
    """Postgres gets SIGQUIT: its data is thrown away, so the checkpoint of SIGINT buys nothing."""
    try:
        is_postgres = Path(process.cwd(), "PG_VERSION").exists()
    except (psutil.Error, OSError):
        is_postgres = False
    _send(process, signal.SIGQUIT if is_postgres else signal.SIGTERM)
    _send(process, signal.SIGCONT)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return


def shared_memory(folder: Path) -> list[int]:
    """The System V segments of a lab's postmasters; line 7 of each one's pid file names it."""
    libc = ctypes.CDLL(None)
    return [
        segment
        for pid_file in sorted(folder.glob("*/postmaster.pid"))
        for key, segment in _named(pid_file)
        if libc.shmget(ctypes.c_int(key), ctypes.c_size_t(0), 0) == segment
    ]


def free(segment: int) -> None:
    """Remove a System V segment."""
    ctypes.CDLL(None).shmctl(segment, 0, None)  # 0 is IPC_RMID


def _named(pid_file: Path) -> Iterator[tuple[int, int]]:
    match pid_file.read_text().splitlines()[6:7]:
        case [line] if len(words := line.split()) == 2:
            yield int(words[0]), int(words[1])


if __name__ == "__main__":
    main()
