"""The folder of a lab: created, held with a lock while the lab is alive, found again after a kill.

The lab and its guardian hold a shared lock on it. The kernel drops the lock of a process that
ends, however it ends, so an unlocked lab was killed, and no process id has to be trusted.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

PREFIX = "linkstorm-"
NAME = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}(-gone)*")
OWNER = "owner"  # a file with the process id of the lab, for people only


def place() -> Path:
    """The parent of labs' folders: TMPDIR, or /tmp.

    `tempfile` would silently choose another disk, or even the current folder, if that one is full.
    """
    return Path(os.environ.get("TMPDIR") or "/tmp")


def made(owner: int) -> Path:
    """A new folder in TMPDIR, held until this process ends.

    `linkstorm heal` may take it for a killed lab's before it is locked: then it is gone, and
    another one is made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place())).resolve()
        _lock(folder, fcntl.LOCK_SH)
        if folder.exists():
            with suppress(OSError):  # a full disk: an empty file is a mark, too
                (folder / OWNER).write_text(f"{owner}\n")
            return folder


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder that another process made."""
    lock = _lock(folder, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def taken(folder: Path) -> Iterator[bool]:
    """Try for the exclusive lock: True if the lab was dead, and ours alone in this context."""
    try:
        lock = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        yield False
        return
    try:
        yield True
    finally:
        os.close(lock)


def owner(folder: Path) -> int | None:
    """The process id of the lab that it was made for, if it is readable."""
    try:
        return int((folder / OWNER).read_text())
    except (OSError, ValueError):
        return None


def found() -> list[Path]:
    """The labs' folders of this user, living or not: in TMPDIR, or wherever a process works in one.

    A folder that only has such a name is none of them.
    """
    beside = {path.resolve() for path in place().glob(f"{PREFIX}*")}
    return sorted(path for path in beside | set(_worked_in()) if _is_lab(path))


def _worked_in() -> Iterator[Path]:
    for process in psutil.process_iter():
        try:
            cwd = Path(process.cwd())
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's
        yield from (path for path in (cwd, *cwd.parents) if NAME.fullmatch(path.name))


def _is_lab(path: Path) -> bool:
    """Ours by user, name and owner file, which is missing right after creation and at the end."""
    try:
        if not (NAME.fullmatch(path.name) and path.is_dir() and path.stat().st_uid == os.geteuid()):
            return False
        return path.name.endswith("-gone") or (path / OWNER).is_file() or not any(path.iterdir())
    except OSError:
        return False


def _lock(folder: Path, how: int) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
