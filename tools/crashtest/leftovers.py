"""What a lab leaves on the machine, seen without any of the lab's own book-keeping.

While a watch is on, this process adopts every process that loses its parent
(PR_SET_CHILD_SUBREAPER, prctl(2)), so whatever a lab starts stays below it, in whichever session
or folder and under whichever user.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.02
TOXIPROXY_TIMEOUT_S = 0.5
SYSV, POSIX = Path("/proc/sysvipc/shm"), Path("/dev/shm")


class LeftoverWatch:
    """An eye on what was not there before: processes, zombies, ports, toxics, segments, files."""

    def __init__(self, none: Sequence[Path]) -> None:
        """`none` are patterns of files that there are to be none of in the end."""
        self._none = none
        self._others = set(psutil.Process().children())
        self._segments = set(_segments())
        self._ports: set[int] = set()
        self._waited_for: set[int] = set()

    def wait_for(self, pid: int) -> None:
        """Leave it to whoever started this process to bury it."""
        self._waited_for.add(pid)

    def note_ports(self) -> None:
        """Remember what the processes listen on now: that must be free in the end."""
        self._ports |= set(_listening({process.pid for process in self.processes()}))

    def processes(self) -> list[psutil.Process]:
        """Every process below us that is new, zombies too; what was orphaned and ended is buried.

        Burying is the duty of whoever adopts; a lab's own children are the lab's to bury.
        """
        found = []
        for child in set(psutil.Process().children()) - self._others:
            if child.pid in self._waited_for or not _bury(child):
                found += [child, *_below(child)]
        return sorted(found, key=lambda process: process.pid)

    def left(self) -> list[str]:
        """All that is left now, a line each."""
        processes = self.processes()
        pids = {process.pid for process in processes}
        return [
            *map(_told, processes),
            *(f"port {port}" for port in _listening(pids, self._ports)),
            *(toxic for port in self._ports for toxic in _toxics(port)),
            *(f"segment {name}" for name in _segments() if name not in self._segments),
            *(f"file {path}" for each in self._none for path in each.parent.glob(each.name)),
        ]

    def left_after(self, seconds: float) -> list[str]:
        """What is left after so long; nothing, as soon as there is nothing."""
        deadline_s = time.monotonic() + seconds
        while (left := self.left()) and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        return left


@contextmanager
def watching(*none: Path) -> Iterator[LeftoverWatch]:
    """Watch what is started inside this context; there is to be no file like these in the end."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield LeftoverWatch(none)
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def _bury(process: psutil.Process) -> bool:
    """Whether it had ended."""
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
        os.waitpid(process.pid, os.WNOHANG)
    except (psutil.NoSuchProcess, ChildProcessError):
        pass
    return True


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _told(process: psutil.Process) -> str:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return f"zombie {process.pid} ({process.name()}) of {process.ppid()}"
        return f"process {process.pid}: {' '.join(process.cmdline())[:80] or process.name()}"
    except psutil.Error:
        return f"process {process.pid}"


def _listening(pids: set[int], ports: set[int] | None = None) -> Iterator[int]:
    """Ports that these processes listen on, and those of `ports` that nobody known does."""
    for at in psutil.net_connections("tcp"):
        if at.status == psutil.CONN_LISTEN and at.laddr:
            port = at.laddr.port
            if at.pid in pids or (at.pid is None and port in (ports or ())):
                yield port


def _toxics(port: int) -> Iterator[str]:
    """The toxics of the Toxiproxy at this port, if one answers there."""
    try:
        with requests.Session() as http:
            http.trust_env = False
            proxies = http.get(
                f"http://127.0.0.1:{port}/proxies", timeout=TOXIPROXY_TIMEOUT_S
            ).json()
        for name, proxy in proxies.items():
            yield from (f"toxic {toxic['type']} on {name}" for toxic in proxy["toxics"])
    except (requests.RequestException, ValueError, AttributeError, KeyError, TypeError):
        return


def _segments() -> Iterator[str]:
    """Shared memory that no living process uses: System V by its table, POSIX by its files."""
    for row in SYSV.read_text().splitlines()[1:]:
        _, identifier, _, _, _, _, attached, *_ = row.split()
        if attached == "0":
            yield f"shmid {identifier}"
    for path in POSIX.iterdir():
        if not _is_mapped(path):
            yield str(path)


def _is_mapped(path: Path) -> bool:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if str(path) in maps.read_text():
                return True
        except OSError:
            continue
    return False
