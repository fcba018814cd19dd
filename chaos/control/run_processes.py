"""Runs that the control starts: one at a time, each a process that heals when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from chaos import experiments
from chaos.control.refusal import RequestRefused
from chaos.control.run_progress import trouble
from chaos.record.run_directories import ROOT, new_run_dir

HEALED_S = 30.0  # a part that was killed may have to come up again
INTERRUPTED = 130
NAME_BYTES = 255  # of a file, at most


def command(runtime: str) -> Sequence[str]:
    """What starts a run on this runtime, up to the name of the experiment."""
    return (sys.executable, "-m", "chaos", "run", "--runtime", runtime)


def is_name(run: str) -> bool:
    """Whether a directory could be called that."""
    short = 0 < len(run.encode()) <= NAME_BYTES
    return short and run not in (".", "..") and not {"/", "\0"} & set(run)


@dataclass
class RunProcess:
    """A run as the process that carries it out."""

    directory: Path
    experiment: str
    process: subprocess.Popen[bytes]
    log: Path
    stopping: bool = False

    @property
    def id(self) -> str:
        """What its directory is called."""
        return self.directory.name

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.process.poll() is None

    def interrupt(self) -> None:
        """Have it heal and stop; it takes a moment."""
        self.stopping = True
        if self.running:
            self.process.send_signal(signal.SIGINT)

    def ending(self) -> str:
        """How it ended, where it came to no verdict."""
        if self.process.poll() == INTERRUPTED or self.stopping:
            return "stopped before the end"
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        return trouble(self.directory) or (said[-1] if said else "ended without a word")


class RunProcesses:
    """The run directories, and the run that the control started last."""

    def __init__(self, runs: Path, workdir: Path, command: Sequence[str]) -> None:
        """`workdir`: what runs in it ends with the lab, however that ends."""
        self.path = runs.resolve()
        self._command = command
        self._workdir = workdir
        self.last: RunProcess | None = None

    @property
    def running(self) -> RunProcess | None:
        """The one that goes on."""
        return self.last if self.last is not None and self.last.running else None

    def start(self, name: str, *, full: bool, arms: Sequence[str]) -> RunProcess:
        """Start one.

        Raises:
            Refused: there is no such experiment or arm.
        """
        try:
            experiment = experiments.load(name)
            known = [arm.name for arm in experiment.arms]
            for arm in arms:
                if arm not in known:
                    raise experiments.UnknownName(f"arm of {name}", arm, known)
        except experiments.UnknownName as unknown:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(unknown)) from unknown
        directory = new_run_dir(experiment.name, self.path)
        command = [*self._command, experiment.name, "--format", "json", "--into", str(directory)]
        command += ["--claimed"]
        command += ["--full"] if full else []
        command += [word for arm in arms for word in ("--arm", arm)]
        log = self._workdir / f"{directory.name}.log"
        self.last = RunProcess(directory, experiment.name, self._popen(command, log), log)
        return self.last

    def report(self, run: str) -> Path:
        """The page of a run.

        Raises:
            Refused: there is none.
        """
        file = self.path / run / "report.html"
        if not is_name(run) or file.resolve() != file or not file.is_file():
            raise RequestRefused(
                HTTPStatus.NOT_FOUND, f"there is no report of a run called {run!r}"
            )
        return file

    def close(self) -> None:
        """Interrupt what goes on, and wait until it has healed."""
        if (run := self.running) is None:
            return
        run.interrupt()
        try:
            run.process.wait(HEALED_S)
        except subprocess.TimeoutExpired:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()

    def _popen(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """In a session of its own, so that Ctrl-C at the terminal reaches the control alone."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with log.open("wb") as said:
            return subprocess.Popen(
                command,
                cwd=self._workdir,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
