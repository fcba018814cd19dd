"""The lab's side of its guardian: start it, and hold the pipe until the end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.model.stack import PartDied, StackError
from chaos.runtimes.embedded.guardian import sweep
from chaos.runtimes.embedded.lab_folders import held, place
from chaos.runtimes.process_limits import raise_limits
from chaos.runtimes.trouble import last_lines, part_trouble

SWEPT_S = 30.0  # processes are gone within 2 s, but a busy disk removes files slowly


@dataclass(frozen=True)
class Guardian:
    """The running guardian, and the folder it keeps for the lab."""

    process: subprocess.Popen[str]
    folder: Path
    log: Path

    def check(self) -> None:
        """Raise `PartDied` if the guardian has ended."""
        if self.process.poll() is not None:
            raise PartDied("guardian", last_lines(self.log))


@contextmanager
def guarded(python: str, environment: Mapping[str, str], log: Path) -> Iterator[Guardian]:
    """A folder that is removed with all its processes when this ends, however it ends.

    Processes in it have the resource limits that a lab needs.

    A normal end works like a kill: the pipe closes, the guardian sweeps. Only when the guardian
    itself was killed, the lab sweeps instead.

    Raises:
        StackError: this machine does not let a lab start; the message says what to do.
    """
    raise_limits()
    if not (where := str(place())).isprintable():
        raise StackError(f"TMPDIR is {where!r}: set it to a folder that can be written in one line")
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [python, "-m", "chaos.runtimes.embedded.guardian"],
            cwd="/",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not (line := process.stdout.readline().strip()):
            raise part_trouble("guardian", "did not start", log, place())
        with held(folder := Path(line)):
            try:
                yield Guardian(process, folder, log)
            finally:
                process.stdin.close()
                _wait_until_swept(process, folder)


def _wait_until_swept(process: subprocess.Popen[str], folder: Path) -> None:
    try:
        code = process.wait(SWEPT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if code:
        sweep(folder)
