"""What labs in processes left on this machine: told, and mended; one that lives is not touched.

A guardian leaves nothing of its lab, so there is something only if the guardian was killed, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from chaos.model.stack import StackError
from chaos.runtimes.embedded import lab_folders
from chaos.runtimes.embedded.guardian import shared_memory, sweep
from chaos.runtimes.embedded.lab_processes import members, ports


@dataclass(frozen=True)
class LeftoverLab:
    """What there is of one lab."""

    folder: Path
    alive: bool  # somebody lives for it: the lab itself, or its guardian, who tidies up
    owner: int | None  # process id of the lab
    processes: Mapping[str, int]  # how many of each part
    ports: Sequence[int]
    segments: int  # of shared memory


def looked_for() -> list[LeftoverLab]:
    """Every lab of this user on this machine, living or left."""
    return [looked_at(folder) for folder in lab_folders.found()]


def told(lab: LeftoverLab) -> str:
    """A line about it."""
    if not lab.alive:
        return f"{lab.folder}: left by a lab that was killed: {_all(lab)}; `linkstorm heal` ends it"
    if lab.owner is not None and psutil.pid_exists(lab.owner):
        return f"{lab.folder}: a lab at work, process {lab.owner}: {_all(lab)}"
    return f"{lab.folder}: a lab has ended, and its guardian tidies up: {_all(lab)}"


def mended(lab: LeftoverLab) -> str:
    """End a lab that nobody lives for, remove all of it, and say so; tell of one that is alive.

    Raises:
        StackError: something of it cannot be removed.
    """
    with lab_folders.taken(lab.folder) as ours:
        if not ours:
            return told(looked_at(lab.folder))
        try:
            sweep(lab.folder)
        except OSError as error:
            raise StackError(f"{lab.folder} cannot be removed: {error}") from error
    return f"{lab.folder}: {_all(lab)}: ended and removed"


def looked_at(folder: Path) -> LeftoverLab:
    """The lab of this folder."""
    with lab_folders.taken(folder) as nobodys:
        alive = not nobodys
    return LeftoverLab(
        folder,
        alive,
        lab_folders.owner(folder),
        Counter(_part(folder, process) for process in members(folder)),
        ports(folder),
        len(shared_memory(folder)),
    )


def _part(folder: Path, process: psutil.Process) -> str:
    try:
        return Path(process.cwd()).relative_to(folder).parts[0]
    except (psutil.Error, OSError, IndexError, ValueError):
        return "other"


def _all(lab: LeftoverLab) -> str:
    each = ", ".join(f"{part} {count}" for part, count in sorted(lab.processes.items()))
    counts = [
        (sum(lab.processes.values()), f"processes ({each})"),
        (len(lab.ports), f"ports ({', '.join(map(str, lab.ports))})"),
        (lab.segments, "shared memory segments"),
    ]
    return ", ".join(f"{count} {what}" for count, what in counts if count) or "only its folder"
