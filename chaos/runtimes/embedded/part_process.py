"""One part of the stack as processes: start, readiness, kill, pause, state."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import psutil

from chaos.model.stack import PartDied, PartState, StackError
from chaos.runtimes.embedded.fork_client import Forked, ForkServerClient
from chaos.runtimes.embedded.lab_processes import members
from chaos.runtimes.embedded.os_user import OsUser
from chaos.runtimes.trouble import last_lines, part_trouble

POLL_S = 0.01
READY_S = 60.0  # generous: a server replays its log; a broken part ends by itself
RUN_S = 60.0  # a busy disk can make initdb slow
GONE_S = 5.0

Process = subprocess.Popen[bytes] | Forked


@dataclass
class PartProcess:
    """A server: its command, and its current process.

    Its working folder lies inside the lab's, which makes it a member of the lab.
    """

    name: str
    folder: Path
    log: Path
    command: Sequence[str | Path]
    ready: Callable[[], bool]
    environment: Mapping[str, str]
    account: OsUser | None = None
    meanwhile: Callable[[], None] = lambda: None  # called while waiting; may raise
    stop_signal: signal.Signals = signal.SIGTERM
    forks: ForkServerClient | None = None  # forks its processes; without, they are started anew
    ready_s: float = READY_S  # it has so long to get ready
    process: Process | None = None
    wanted: bool = False

    def run(self, command: Sequence[str | Path]) -> None:
        """Run a program that prepares this part, to its end."""
        program = Path(command[0]).name
        with self._popen(command) as process:
            try:
                code = process.wait(RUN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise self._trouble(f"failed: {program} took more than {RUN_S:g} s") from None
        if code:
            raise self._trouble(f"failed: {program} ended with {code}")

    def wait_until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for a condition; raise `StackError` when the part ended, or it takes too long.

        The wait ends, too, once `meanwhile` raises, as when another part has died.
        """
        assert self.process is not None
        deadline = time.monotonic() + self.ready_s
        while not reached():
            if (code := self.process.poll()) is not None:
                raise self._trouble(f"ended with {code} before it {what}")
            self.meanwhile()
            self._not_later_than(deadline, f"took more than {self.ready_s:g} s until it {what}")
            time.sleep(POLL_S)

    def wait_until_ready(self) -> None:
        """Return when it serves."""
        self.wait_until(self.ready, "was ready")

    def start(self, *options: str) -> None:
        """Start it, its output added to its log, and return when it serves."""
        self.begin(*options)
        self.wait_until_ready()
        self.wanted = True

    def begin(self, *options: str) -> None:
        """Start it without waiting until it serves."""
        self.process = self._started(options)

    def stop(self) -> None:
        """Ask it to end; kill what is left of it after `GONE_S`."""
        self.ask_to_end()
        self.wait_until_gone()

    def ask_to_end(self) -> None:
        """Send the signal that stops it."""
        self.wanted = False
        if self.process is not None:
            self.process.send_signal(self.stop_signal)

    def wait_until_gone(self) -> None:
        """Wait for its end, once it was asked to; kill what is left of it after `GONE_S`."""
        if self.process is not None:
            try:
                self.process.wait(GONE_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL all of it at once, and return when it is gone.

        The first process goes first: it would restart the others, or report a crash to clients.
        Killing only that one would leave Postgres' backends to finish their work.
        """
        self.wanted = False
        deadline = time.monotonic() + GONE_S
        while found := members(self.folder):
            _signal(self._parent_first(found), signal.SIGKILL)
            self._not_later_than(deadline, "outlived SIGKILL")
            time.sleep(POLL_S)
        self.reap()

    def pause(self) -> None:
        """SIGSTOP all of it, and return when all are stopped."""
        deadline = time.monotonic() + GONE_S
        while running := self._running():
            _signal(self._parent_first(running), signal.SIGSTOP)
            self._not_later_than(deadline, "could not be stopped")

    def resume(self) -> None:
        """SIGCONT all of it."""
        _signal(members(self.folder), signal.SIGCONT)

    def state(self) -> PartState:
        """`down` once its first process has ended, `paused` while all of it is stopped.

        The others are searched only where the first is stopped: that takes a while, and a
        watched lab is polled every second.
        """
        if self.process is None or self.process.poll() is not None:
            return "down"
        try:
            still = psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:  # it has ended just now
            return "down"
        return "paused" if still and not self._running() else "up"

    def note(self, line: str) -> None:
        """Add a line to its log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def check(self) -> None:
        """Raise `PartDied` if it ended unexpectedly."""
        if self.wanted and self.process is not None and self.process.poll() is not None:
            raise PartDied(self.name, last_lines(self.log))

    def reap(self) -> None:
        """Wait for its end, once it has been killed."""
        if self.process is not None:
            self.process.wait(GONE_S)

    def _running(self) -> list[psutil.Process]:
        return [p for p in members(self.folder) if _status(p) != psutil.STATUS_STOPPED]

    def _started(self, options: Sequence[str]) -> Process:
        if self.forks is None:
            return self._popen([*self.command, *options])
        return self.forks.fork(self.command, self.folder, self.environment, self.log)

    def _popen(self, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        """Start in a session of its own, so that Ctrl-C at the terminal reaches only the lab."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **(self.account.popen if self.account else {}),
            )

    def _not_later_than(self, deadline: float, what: str) -> None:
        if time.monotonic() > deadline:
            raise self._trouble(what)

    def _trouble(self, what: str) -> StackError:
        return part_trouble(self.name, what, self.log, self.folder.parent)

    def _parent_first(self, found: Sequence[psutil.Process]) -> list[psutil.Process]:
        first = self.process.pid if self.process else None
        return sorted(found, key=lambda process: process.pid != first)


def concurrently(*calls: Callable[[], object]) -> None:
    """Make all calls at once; return when all are done, or raise the first error at once.

    After an error the others go on, ignored: sweeping the lab ends what they wait for.
    """
    outcomes: SimpleQueue[BaseException | None] = SimpleQueue()

    def outcome_of(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            outcomes.put(error)
        else:
            outcomes.put(None)

    for call in calls:
        threading.Thread(target=outcome_of, args=[call], daemon=True).start()
    for _ in calls:
        if (error := outcomes.get()) is not None:
            raise error


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return psutil.STATUS_STOPPED
