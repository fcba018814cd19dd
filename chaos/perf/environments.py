"""Environments of arms, built by the service file's commands and kept by the hash of lock files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chaos.perf.service_file import Build, filled
from chaos.perf.trouble import WrongInput
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.trouble import last_lines

BUILD_S = 1800.0
CHECK_S = 120.0
COMPLETE = "complete"


def cache() -> Path:
    """The folder of kept environments: `XDG_CACHE_HOME`, or `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "linkstorm" / "perf"


def arm_environment() -> dict[str, str]:
    """The user's environment without what was meant for others, and without the lab's own code."""
    return {n: v for n, v in clean_environment().items() if n != "PYTHONPATH"}


def built(build: Build, worktree: Path, values: Mapping[str, str], log: Path) -> Path:
    """The environment of a worktree, built if it is not kept already.

    Raises:
        WrongInput: a command failed, or a lock file is missing; the message has its last lines.
    """
    if not build.lock:
        folder = worktree / ".perf-environment"
        _build(build, worktree, folder, values, log)
        return folder
    folder = cache() / _key(build, worktree)
    with _locked(folder):
        if not (folder / COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(build, worktree, folder, values, log)
            (folder / COMPLETE).touch()
    return folder


def run(
    command: list[str],
    worktree: Path,
    log: Path,
    seconds: float = CHECK_S,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run a command to its end.

    Raises:
        WrongInput: it failed, took too long or is not there.
    """
    shown = " ".join(command)
    with log.open("ab") as output:
        try:
            code = subprocess.run(
                command,
                cwd=worktree,
                env=arm_environment() | dict(variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            raise WrongInput(f"`{shown}` took more than {seconds:g} s; see {log}") from None
        except OSError as error:
            raise WrongInput(f"`{shown}` cannot be run: {error.strerror}") from None
    if code:
        lines = "\n".join(f"  {line}" for line in last_lines(log))
        raise WrongInput(f"`{shown}` ended with {code}; its log {log} ends:\n{lines}")


def _build(
    build: Build, worktree: Path, folder: Path, values: Mapping[str, str], log: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for command in build.commands:
        words = filled(command, {**values, "environment": str(folder)})
        run(words, worktree, log, BUILD_S)


def _key(build: Build, worktree: Path) -> str:
    """A name that is another one whenever the environment would be."""
    digest = hashlib.sha256()
    machine = (sys.version, platform.platform(), repr(build.commands))
    for part in (*(text.encode() for text in machine), *_locks(build, worktree)):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:20]


def _locks(build: Build, worktree: Path) -> Iterator[bytes]:
    for name in build.lock:
        try:
            yield (worktree / name).read_bytes()
        except OSError as error:
            raise WrongInput(f"the lock file {name} cannot be read: {error.strerror}") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other gates from building the same one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
