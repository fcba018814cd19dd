"""The lab's side of the fork server: start it, fork processes, read their exit codes.

The processes of the shortener restart with every arm, and imports take each of them most of a
second of a core. `multiprocessing` has such a server, too; it leaves a folder behind when the lab
is killed, and its processes are Python functions of the lab, not programs.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import psutil

from chaos.model.stack import PartDied
from chaos.runtimes.embedded.fork_server import NUMBER, ForkRequest
from chaos.runtimes.trouble import last_lines, part_trouble

FORKED_S = 20.0  # the first one waits for the imports, too
ENDED_S = 10.0
POLL_S = 0.005
UNKNOWN = -1  # the exit code of a process whose server was killed


class ForkServerClient:
    """A running fork server. It works in a folder of the lab, and so it ends with it."""

    def __init__(
        self, python: str, modules: Sequence[str], folder: Path, environment: Mapping[str, str],
        log: Path,
    ) -> None:  # fmt: skip
        self._log = log
        self._folder = folder
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            self._server = subprocess.Popen(
                [python, "-m", "chaos.runtimes.embedded.fork_server", *modules],
                cwd=folder,
                env=environment,
                stdin=theirs.fileno(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def fork(
        self, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], log: Path
    ) -> Forked:
        """A process of the command `python -m module arguments`.

        Raises:
            StackError: the server did not fork.
        """
        _python, _m, module, *arguments = command
        request = ForkRequest(str(module), [*map(str, arguments)], str(folder), dict(environment))
        ours, theirs = os.pipe()
        line = json.dumps(asdict(request)).encode() + b"\n"
        try:
            with log.open("ab") as output, self._lock, suppress(BrokenPipeError):
                sent = socket.send_fds(self._requests, [line], [output.fileno(), theirs])
                self._requests.sendall(line[sent:])
        finally:
            os.close(theirs)
        pid = _number(ours) if _is_readable(ours, FORKED_S) else None
        if pid is None:
            os.close(ours)
            raise part_trouble("forkserver", "did not fork", self._log, self._folder.parent)
        return Forked(pid, ours)

    def check(self) -> None:
        """Raise `PartDied` if the server has ended."""
        if self._server.poll() is not None:
            raise PartDied("forkserver", last_lines(self._log))

    def reap(self) -> None:
        """Close the socket, and wait for the end of the server."""
        self._requests.close()
        self._server.wait(ENDED_S)


class Forked:
    """A forked process, used like a `subprocess.Popen`."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe
        self._code: int | None = None
        self._reading = threading.Lock()

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        with self._reading:
            if self._code is None and _is_readable(self._pipe, 0.0):
                self._code = _number(self._pipe)
                if self._code is None and not _is_alive(self.pid):
                    self._code = UNKNOWN
                if self._code is not None:
                    os.close(self._pipe)
            return self._code

    def wait(self, timeout: float) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        deadline_s = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline_s:
                raise subprocess.TimeoutExpired(f"forked process {self.pid}", timeout)
            time.sleep(POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended yet."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_readable(pipe: int, within_s: float) -> bool:
    poll = select.poll()  # unlike select.select, it takes descriptors beyond 1,023
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def _number(pipe: int) -> int | None:
    """The next number from the server; None if it was killed."""
    read = os.read(pipe, NUMBER.size)
    return int(NUMBER.unpack(read)[0]) if read else None
