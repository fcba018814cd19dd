"""Rooms and arrows, drawn from the imports: `python -m tests.support.rooms` prints them.

A room is a folder of modules; a module that lies beside rooms stands for itself. The floor of a
room is the longest way down from it. Rooms on a circle have no floor.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Set

from tests.test_imports import OURS, ROOT, imports_of, modules, name_of, within

Arrows = Mapping[str, Set[str]]
DEPTH, STACK_DEPTH = 2, 3  # parts of the longest name of a room; what lies deeper belongs to it


def room_of(name: str) -> str:
    """The room of a module, or of a name in a module."""
    parts = name.split(".")[: STACK_DEPTH if name.startswith("stack.") else DEPTH]
    while len(parts) > 1 and not _is_room_or_beside_one(parts):
        parts.pop()
    return ".".join(parts)


def _is_room_or_beside_one(parts: list[str]) -> bool:
    place = ROOT.joinpath(*parts)
    if place.is_dir():
        return True
    beside = place.parent.glob("*/__init__.py")
    return place.with_suffix(".py").is_file() and any(beside)


def arrows() -> dict[str, Set[str]]:
    """Each room, and the rooms that its modules import."""
    found: dict[str, set[str]] = {}
    for path in modules():
        if path.name == "__init__.py" and "=" not in path.read_text(encoding="utf-8"):
            continue  # a folder's docstring
        name = name_of(path)
        room = room_of(name)
        imported = {room_of(other) for other in imports_of(path) if within(other, OURS)}
        found.setdefault(room, set()).update(imported - {room})
        for other in imported:
            found.setdefault(other, set())
    return dict(found)


def floors(of: Arrows) -> dict[str, int]:
    """The floor of each room; those on a circle, and those above one, have none."""
    found: dict[str, int] = {}
    while ready := [room for room in of if room not in found and of[room] <= found.keys()]:
        found |= {room: 1 + max((found[below] for below in of[room]), default=-1) for room in ready}
    return found


def drawn(of: Arrows) -> str:
    """A line for each room, from the ground up."""
    floor = floors(of)
    lines = [
        f"{floor.get(room, 'circle')}  {room} → {', '.join(sorted(of[room]))}".rstrip(" →")
        for room in sorted(of, key=lambda room: (floor.get(room, len(of)), room))
    ]
    return "\n".join([*lines, f"{len(of)} rooms, {sum(map(len, of.values()))} arrows\n"])


if __name__ == "__main__":
    sys.stdout.write(drawn(arrows()))
