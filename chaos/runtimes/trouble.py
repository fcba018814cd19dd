"""Errors of the operating system and of parts as messages with a remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis

from chaos.model.stack import StackError

TAIL_LINES = 12
FULL_BYTES = 1 << 20
_NO_SPACE = os.strerror(errno.ENOSPC)


def last_lines(log: Path, count: int = TAIL_LINES) -> list[str]:
    """The end of a log; empty when there is none."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 200 * count))
        return file.read().decode(errors="replace").splitlines()[-count:]


def part_trouble(part: str, what: str, log: Path, folder: Path) -> StackError:
    """The error of a part that did not start: the reason, or the end of its log."""
    lines = last_lines(log)
    if any(_NO_SPACE in line for line in lines):
        return StackError(_disk_full(part, folder))
    return StackError("\n".join([f"{part} {what}", *_quoted(lines, log)]))


def check_disk(folder: Path) -> None:
    """Raise `StackError` if the disk of the lab is full.

    Not every part reports it: a database still answers queries that write nothing.
    """
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < FULL_BYTES:
        raise StackError(_disk_full("the lab", folder))


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system or a server into a `StackError`."""
    try:
        yield
    except (OSError, psycopg.Error, redis.RedisError) as error:
        raise StackError(_explained(error, folder)) from error


def _explained(error: Exception, folder: Path) -> str:
    number, name = getattr(error, "errno", None), getattr(error, "filename", None)
    if number == errno.ENOSPC or _NO_SPACE in str(error):
        return _disk_full("the lab", folder)
    if number == errno.ENOEXEC:
        return f"{name} is not made for this machine: reinstall the package it belongs to"
    if number in (errno.EACCES, errno.EPERM):
        return f"no permission for {name}: {os.strerror(number)}"
    return f"the stack could not be started: {str(error).strip()}"


def _disk_full(part: str, folder: Path) -> str:
    return (
        f"{part} found no space left on the disk of {folder}: "
        "free some (a lab needs about 300 MB), or set TMPDIR to a folder on another disk"
    )


def _quoted(lines: Sequence[str], log: Path) -> list[str]:
    return [f"its log {log} ends:", *(f"  {line}" for line in lines)] if lines else []
