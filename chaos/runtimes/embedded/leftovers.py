"""Leftovers of killed labs on this machine: listed, and removed; a live lab is not touched.

A guardian leaves nothing of its lab, so there are leftovers only if it was killed, too.
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
    """The processes, ports and shared memory of one lab."""

    folder: Path
    alive: bool  # the lab itself or its guardian, which cleans up, is running
    owner: int | None  # process id of the lab
    processes: Mapping[str, int]  # how many of each part
    ports: Sequence[int]
    segments: int  # of shared memory


def looked_for() -> list[LeftoverLab]:
    """Every lab of this user on this machine, living or left."""
    return [looked_at(folder) for folder in lab_folders.found()]


def told(lab: LeftoverLab) -> str:
    """One line for `linkstorm status`."""
    if not lab.alive:
        return f"{lab.folder}: left by a lab that was killed: {_all(lab)}; `linkstorm heal` ends it"
    if lab.owner is not None and psutil.pid_exists(lab.owner):
        return f"{lab.folder}: a lab at work, process {lab.owner}: {_all(lab)}"
    return f"{lab.folder}: a lab has ended, and its guardian tidies up: {_all(lab)}"


def mended(lab: LeftoverLab) -> str:
    """Remove a dead lab and return a line about it; only describe one that is alive.

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
