"""The members of a lab: every process whose working folder lies inside the lab's folder.

Except those with a terminal: a person's shell in that folder is no member.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")


def members(folder: Path) -> list[psutil.Process]:
    """The living processes that work inside this folder, lowest process id first.

    Membership needs no list that could be lost with the process that kept it, and a child is a
    member from its first moment on, whoever its parent is by now.
    """
    found = {process.pid: process for process in _seen(folder, _readable_members)}
    return [found[pid] for pid in sorted(found)]


def ports(folder: Path) -> list[int]:
    """The TCP ports that the processes of this folder listen on, lowest first."""
    return sorted(set(_seen(folder, _readable_ports)))


def _seen(folder: Path, look: Callable[[Path], Iterator[T]]) -> list[T]:
    """The results of `look` as each user that parts of this lab run as."""
    seen = list(look(folder))
    for uid, gid in _owners(folder):
        with _eyes_of(uid, gid):
            seen += look(folder)
    return seen


def _readable_members(folder: Path) -> Iterator[psutil.Process]:
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            if Path(process.cwd()).is_relative_to(folder) and not _in_a_terminal(process):
                yield process
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's


def _readable_ports(folder: Path) -> Iterator[int]:
    ours = {process.pid for process in _readable_members(folder)}
    for at in psutil.net_connections("tcp"):
        if at.pid in ours and at.status == psutil.CONN_LISTEN and at.laddr:
            yield at.laddr.port


def _in_a_terminal(process: psutil.Process) -> bool:
    """Parts are started in sessions of their own, which have none."""
    if sys.platform != "linux":
        return process.terminal() is not None
    after_its_name = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2]
    return after_its_name.split()[4] != "0"  # tty_nr; psutil's table of terminals grows old


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
