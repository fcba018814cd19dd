"""Runs that the control starts: one at a time, each a process that heals when interrupted."""

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
from chaos.control.messages import RequestRefused, is_run_name
from chaos.control.run_progress import trouble
from chaos.record.run_directories import ROOT, new_run_dir

HEALED_S = 30.0  # a part that was killed may have to come up again
INTERRUPTED = 130


def command(runtime: str) -> Sequence[str]:
    """The command line of a run on this runtime, up to the name of the experiment."""
    return (sys.executable, "-m", "chaos", "run", "--runtime", runtime)


@dataclass
class RunProcess:
    """A run and its process."""

    directory: Path
    experiment: str
    process: subprocess.Popen[bytes]
    log: Path
    stopping: bool = False

    @property
    def id(self) -> str:
        """The name of its directory."""
        return self.directory.name

    @property
    def running(self) -> bool:
        """True until the process ends."""
        return self.process.poll() is None

    def interrupt(self) -> None:
        """Send SIGINT: it heals and stops, which takes a moment."""
        self.stopping = True
        if self.running:
            self.process.send_signal(signal.SIGINT)

    def ending(self) -> str:
        """The reason why it ended without a verdict."""
        if self.process.poll() == INTERRUPTED or self.stopping:
            return "stopped before the end"
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        words = [line for line in lines if line.strip()]
        return trouble(self.directory) or (words[-1] if words else "ended without a message")


class RunProcesses:
    """The runs folder, and the run that the control started last."""

    def __init__(self, runs: Path, workdir: Path, command: Sequence[str]) -> None:
        """`workdir`: what runs in it ends with the lab, however that ends."""
        self.path = runs.resolve()
        self._command = command
        self._workdir = workdir
        self.last: RunProcess | None = None

    @property
    def running(self) -> RunProcess | None:
        """The run in progress."""
        return self.last if self.last is not None and self.last.running else None

    def start(self, name: str, *, full: bool, arms: Sequence[str]) -> RunProcess:
        """Start a run.

        Raises:
            RequestRefused: there is no such experiment or arm.
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
        """The report of a run.

        Raises:
            RequestRefused: there is none.
        """
        file = self.path / run / "report.html"
        if not is_run_name(run) or file.resolve() != file or not file.is_file():
            raise RequestRefused(
                HTTPStatus.NOT_FOUND, f"there is no report of a run called {run!r}"
            )
        return file

    def close(self) -> None:
        """Interrupt the run in progress, and wait until it has healed."""
        if (run := self.running) is None:
            return
        run.interrupt()
        try:
            run.process.wait(HEALED_S)
        except subprocess.TimeoutExpired:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()

    def _popen(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start it in its own session, so that Ctrl-C at the terminal reaches only the control."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with log.open("wb") as stderr:
            return subprocess.Popen(
                command,
                cwd=self._workdir,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
