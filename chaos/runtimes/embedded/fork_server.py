"""The fork server: imports modules once, and forks the processes that run one of them.

`python -m chaos.runtimes.embedded.fork_server MODULE...`. Standard input is a Unix socket. An order is one
line of JSON on it, sent with two descriptors: the output of the new process, and a pipe that gets
its process id at once and its exit code in the end. A process is what `python -m` makes of it, in
a session of its own, but for what was imported already.

After the last order it stays until its last process has ended, as their parent.
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
class Order:
    """A process to be made: `python -m module arguments` in a folder with an environment."""

    module: str
    arguments: Sequence[str]
    folder: str
    environment: dict[str, str]


class Forkserver:
    """Obeys the orders of one socket; every process that it forked has a pipe to tell of it."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._pipes: dict[int, int] = {}

    def serve(self) -> Order | None:
        """Fork until nobody orders any more; in a forked process, its order."""
        signal.signal(signal.SIGCHLD, self._reap)
        signal.signal(signal.SIGTERM, self._close)
        while received := self._receive():
            order, output, pipe = received
            signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
            if (pid := os.fork()) == 0:
                self._leave(output, pipe)
                return order
            self._pipes[pid] = pipe
            os.close(output)
            _tell(pipe, pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        self._reap()
        while self._pipes:
            signal.sigwait({signal.SIGCHLD})
            self._reap()
        return None

    def _receive(self) -> tuple[Order, int, int] | None:
        line, descriptors, _, _ = socket.recv_fds(self._orders, _CHUNK, 2)
        while line and not line.endswith(b"\n"):
            line += self._orders.recv(_CHUNK)
        if not line:
            return None
        output, pipe = descriptors
        return Order(**json.loads(line)), output, pipe

    def _reap(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Tell of every process that has ended."""
        with suppress(ChildProcessError):  # there is none left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                pipe = self._pipes.pop(pid)
                _tell(pipe, os.waitstatus_to_exitcode(status))
                os.close(pipe)

    def _close(self, _signal: int, _frame: FrameType | None) -> None:
        """Take no more orders: the one who gave them is about to end, too."""
        with suppress(OSError):  # it has ended already
            self._orders.shutdown(socket.SHUT_RD)

    def _leave(self, output: int, pipe: int) -> None:
        """Be a process of one's own, with nothing of the server's but what it imported."""
        os.setsid()
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        self._orders.detach()  # standard input, which is replaced
        nothing = os.open(os.devnull, os.O_RDONLY)
        for new, standard in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(new, standard)
        for descriptor in (nothing, output, pipe, *self._pipes.values()):
            os.close(descriptor)


def _tell(pipe: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(pipe, NUMBER.pack(number))


def _become(order: Order) -> None:
    """Run the module as the main program of this process."""
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    time.tzset()
    sys.argv = ["", *order.arguments]
    runpy.run_module(order.module, run_name="__main__", alter_sys=True)


def main(modules: Sequence[str]) -> None:
    """Import these modules, then serve."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # what is shared with the forked processes is not to be touched
    if order := Forkserver(socket.socket(fileno=sys.stdin.fileno())).serve():
        _become(order)


if __name__ == "__main__":
    main(sys.argv[1:])
