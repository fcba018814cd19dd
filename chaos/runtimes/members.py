"""Who belongs to a lab: every process whose working folder lies inside the lab's folder."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def members(folder: Path) -> list[psutil.Process]:
    """The living processes that work inside this folder, lowest process id first.

    Membership needs no list that could be lost with the process that kept it, and a child is a
    member from its first moment on, whoever its parent is by now.
    """
    found = {process.pid: process for process in _readable_members(folder)}
    for uid, gid in _owners(folder):
        with _eyes_of(uid, gid):
            found |= {process.pid: process for process in _readable_members(folder)}
    return [found[pid] for pid in sorted(found)]


def _readable_members(folder: Path) -> Iterator[psutil.Process]:
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            if Path(process.cwd()).is_relative_to(folder):
                yield process
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's


def _owners(folder: Path) -> set[tuple[int, int]]:
    """The other users that parts of this lab run as: each owns its part's folder."""
    if os.geteuid() != 0 or sys.platform != "linux" or not folder.is_dir():
        return set()
    stats = [path.lstat() for path in (folder, *folder.iterdir())]
    return {(stat.st_uid, stat.st_gid) for stat in stats if stat.st_uid != 0}


@contextmanager
def _eyes_of(uid: int, gid: int) -> Iterator[None]:
    """Look at files as this user does, in this thread only.

    Root in a container has no CAP_SYS_PTRACE by default, and then may not see the working folder
    of another user's process; that user may (ptrace(2), "access mode checking").
    """
    libc = ctypes.CDLL(None)
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)
