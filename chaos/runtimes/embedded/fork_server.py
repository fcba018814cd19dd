"""The fork server: import modules once, and fork the processes that run one of them.

`python -m chaos.runtimes.embedded.fork_server MODULE...`. Standard input is a Unix socket. A
request is one line of JSON on it, sent with two descriptors: the output of the new process, and a
pipe for its process id at once and its exit code in the end. A process runs as by `python -m`, in
a session of its own, except that the modules are imported already.

After the last request the server stays until its last process has ended, as their parent.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

_CHUNK = 1 << 16
NUMBER = struct.Struct("i")  # a process id or an exit code
_HANDLED = {signal.SIGCHLD, signal.SIGTERM}


@dataclass(frozen=True)
class ForkRequest:
    """A process to be made: `python -m module arguments` in a folder with an environment."""

    module: str
    arguments: Sequence[str]
    folder: str
    environment: dict[str, str]


class ForkServer:
    """Serves one socket; each forked process has a pipe for its id and exit code."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._pipes: dict[int, int] = {}

    def serve(self) -> ForkRequest | None:
        """Fork until the socket closes and return None; in a forked process, return its request."""
        signal.signal(signal.SIGCHLD, self._reap)
        signal.signal(signal.SIGTERM, self._close)
        while received := self._receive():
            request, output, pipe = received
            signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
            if (pid := os.fork()) == 0:
                self._leave(output, pipe)
                return request
            self._pipes[pid] = pipe
            os.close(output)
            _send(pipe, pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        self._reap()
        while self._pipes:
            signal.sigwait({signal.SIGCHLD})
            self._reap()
        return None

    def _receive(self) -> tuple[ForkRequest, int, int] | None:
        line, descriptors, _, _ = socket.recv_fds(self._requests, _CHUNK, 2)
        while line and not line.endswith(b"\n"):
            line += self._requests.recv(_CHUNK)
        if not line:
            return None
        output, pipe = descriptors
        return ForkRequest(**json.loads(line)), output, pipe

    def _reap(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Send the exit code of every process that has ended."""
        with suppress(ChildProcessError):  # there is none left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                pipe = self._pipes.pop(pid)
                _send(pipe, os.waitstatus_to_exitcode(status))
                os.close(pipe)

    def _close(self, _signal: int, _frame: FrameType | None) -> None:
        """Accept no more requests: the lab is about to end, too."""
        with suppress(OSError):  # it has ended already
            self._requests.shutdown(socket.SHUT_RD)

    def _leave(self, output: int, pipe: int) -> None:
        """Drop signal handlers and descriptors of the server, in a session of its own."""
        os.setsid()
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        self._requests.detach()  # standard input, which is replaced
        nothing = os.open(os.devnull, os.O_RDONLY)
        for new, standard in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(new, standard)
        for descriptor in (nothing, output, pipe, *self._pipes.values()):
            os.close(descriptor)


def _send(pipe: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the lab has ended
        os.write(pipe, NUMBER.pack(number))


def _become(request: ForkRequest) -> None:
    """Run the module as the main program of this process."""
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    sys.argv = ["", *request.arguments]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def main(modules: Sequence[str]) -> None:
    """Import these modules, then serve."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # what is shared with the forked processes is not to be touched
    if request := ForkServer(socket.socket(fileno=sys.stdin.fileno())).serve():
        _become(request)


if __name__ == "__main__":
    main(sys.argv[1:])
