"""Find leftovers of a lab on the machine, without any of the lab's own book-keeping.

While watching, this process adopts every orphan (PR_SET_CHILD_SUBREAPER, prctl(2)), so every
process of a lab stays below it, in any session or folder and under any user.
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
KEY_BITS = 0xFFFFFFFF
SYSV, POSIX = Path("/proc/sysvipc/shm"), Path("/dev/shm")


class LeftoverWatch:
    """Detect new processes, zombies, ports, toxics, shared-memory segments and files."""

    def __init__(self, forbidden: Sequence[Path]) -> None:
        """`forbidden` are patterns that no file may match in the end."""
        self._forbidden = forbidden
        self._others = set(psutil.Process().children())
        self._segments = set(_segments())
        self._ports: set[int] = set()
        self._waited_for: set[int] = set()

    def wait_for(self, pid: int) -> None:
        """Do not reap this process: its starter does."""
        self._waited_for.add(pid)

    def note_ports(self) -> None:
        """Note the ports that the processes listen on: they must be free in the end."""
        self._ports |= set(_listening({process.pid for process in self.processes()}))

    def processes(self) -> list[psutil.Process]:
        """Return every new process below this one, zombies included; reap adopted ones that ended.

        A lab must reap its own children.
        """
        found = []
        for child in set(psutil.Process().children()) - self._others:
            if child.pid in self._waited_for or not _reap(child):
                found += [child, *_below(child)]
        return sorted(found, key=lambda process: process.pid)

    def left(self) -> list[str]:
        """Describe everything left now, a line each."""
        processes = self.processes()
        pids = {process.pid for process in processes}
        return [
            *map(_described, processes),
            *(f"port {port}" for port in _listening(pids, self._ports)),
            *(toxic for port in self._ports for toxic in _toxics(port)),
            *(f"segment {name}" for name in _segments() if name not in self._segments),
            *(f"file {path}" for each in self._forbidden for path in each.parent.glob(each.name)),
        ]

    def left_after(self, seconds: float) -> list[str]:
        """Return leftovers after this time, or an empty list as soon as there are none."""
        deadline_s = time.monotonic() + seconds
        while (left := self.left()) and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        return left


@contextmanager
def watching(*forbidden: Path) -> Iterator[LeftoverWatch]:
    """Watch all that is started inside this context; no file may match `forbidden` in the end."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield LeftoverWatch(forbidden)
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def _reap(process: psutil.Process) -> bool:
    """Reap a child; return True if it had ended."""
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


def _described(process: psutil.Process) -> str:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return f"zombie {process.pid} ({process.name()}) of {process.ppid()}"
        return f"process {process.pid}: {' '.join(process.cmdline())[:80] or process.name()}"
    except psutil.Error:
        return f"process {process.pid}"


def _listening(pids: set[int], ports: set[int] | None = None) -> Iterator[int]:
    """Yield ports that these processes listen on, and those of `ports` whose owner is unknown."""
    for at in psutil.net_connections("tcp"):
        if at.status == psutil.CONN_LISTEN and at.laddr:
            port = at.laddr.port
            if at.pid in pids or (at.pid is None and port in (ports or ())):
                yield port


def _toxics(port: int) -> Iterator[str]:
    """Yield the toxics of the Toxiproxy at this port, if one responds there."""
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


def segments_of(data_directory: Path) -> Iterator[str]:
    """Yield `used` or `unused` for each System V segment of this server, and of no other lab's.

    Postgres takes the inode of its data directory as the key.
    """
    key = data_directory.stat().st_ino & KEY_BITS
    for row in SYSV.read_text().splitlines()[1:]:
        given, _, _, _, _, _, attached, *_ = row.split()
        if int(given) & KEY_BITS == key:
            yield "unused" if attached == "0" else "used"


def _segments() -> Iterator[str]:
    """Yield shared memory that no process uses: System V by its table, POSIX by its files."""
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
