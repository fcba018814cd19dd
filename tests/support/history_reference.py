"""The checkers of histories once more, slow and by definition: all pairs are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.measures.histories import DELETED
from tests.support.histories import Row


@dataclass(frozen=True)
class Judged:
    """What is expected of one answered follow."""

    row: int
    staleness_s: float
    versions_behind: int
    false_absent: bool
    impossible: bool


def told(rows: Sequence[Row], operation: str, rank: int) -> list[Row]:
    """Acknowledged requests for an operation on a link."""
    return [r for r in rows if (r.operation, r.outcome, r.rank) == (operation, "ok", rank)]


def begun(rows: Sequence[Row], operation: str, rank: int, by_s: float) -> list[Row]:
    """Requests for an operation on a link that may have happened by a moment."""
    return [
        r
        for r in rows
        if r.operation == operation and r.rank == rank and r.sent_s <= by_s
        if r.outcome in ("ok", "unknown") or (r.outcome == "fail" and r.status >= 500)
    ]


def answered(row: Row) -> bool:
    """A follow that tells of a version."""
    found = row.outcome == "ok" and row.version >= 0
    return row.operation == "follow" and (found or row.outcome == "absent")


def possible(rows: Sequence[Row], prepared: int, rank: int, version: int, by_s: float) -> bool:
    """A link can have been at a version by a moment."""
    created = rank < prepared or begun(rows, "create", rank, by_s)
    return bool(created) and 1 <= version <= 1 + len(begun(rows, "edit", rank, by_s))


def complete_s(rows: Sequence[Row], prepared: int, rank: int) -> dict[int, float]:
    """The moment at which each version of a link is known to have been complete."""
    known: dict[int, float] = {}
    for row in told(rows, "create", rank):
        known[1] = min(row.done_s, known.get(1, math.inf))
    for row in told(rows, "edit", rank):
        if row.version > 0:
            known[row.version] = min(row.done_s, known.get(row.version, math.inf))
    shown: dict[int, float] = {}
    for row in rows:
        if row.operation == "follow" and row.outcome == "ok" and row.rank == rank:
            true = possible(rows, prepared, rank, row.version, row.done_s)
            if true and row.version not in known:
                shown[row.version] = min(row.done_s, shown.get(row.version, math.inf))
    return known | shown | ({1: -math.inf} if rank < prepared else {})


def deleted_s(rows: Sequence[Row], rank: int) -> float:
    """The moment at which the deletion of a link is known to have been complete."""
    if acknowledged := told(rows, "delete", rank):
        return min(row.done_s for row in acknowledged)
    shown = [
        row.done_s
        for row in rows
        if row.rank == rank and row.outcome == "absent"
        if row.operation in ("edit", "delete") or row.version > 0
        if begun(rows, "delete", rank, row.done_s)
    ]
    return min(shown, default=math.inf)


def window(rows: Sequence[Row], prepared: int) -> list[Judged]:
    """What is expected of each answered follow."""
    return [_judged(rows, prepared, number) for number, row in enumerate(rows) if answered(row)]


def _judged(rows: Sequence[Row], prepared: int, number: int) -> Judged:
    read = rows[number]
    absent = read.outcome == "absent"
    version = 0 if absent else read.version
    if absent and begun(rows, "delete", read.rank, read.done_s):
        return Judged(number, 0.0, 0, False, False)
    complete = complete_s(rows, prepared, read.rank)
    newer = {j: t for j, t in complete.items() if j > version and t < read.sent_s}
    times = list(newer.values())
    behind = max(newer, default=version) - version
    if (gone_s := deleted_s(rows, read.rank)) < read.sent_s:
        times.append(gone_s)
        behind += 1
    staleness_s = read.sent_s - min(times) if times else 0.0
    true = absent or possible(rows, prepared, read.rank, version, read.done_s)
    return Judged(number, staleness_s, behind, absent and behind > 0, not true)


def meanings(rows: Sequence[Row], read: Row) -> tuple[int, int]:
    """The oldest and the newest state that an answer may stand for."""
    if read.outcome == "ok":
        return read.version, read.version
    if not begun(rows, "delete", read.rank, read.done_s):
        return 0, 0
    return DELETED if read.version > 0 else 0, DELETED


def own_write(rows: Sequence[Row], read: Row) -> tuple[int, float] | None:
    """The newest version acknowledged to the session of a read before it, and when."""
    own = []
    for row in rows:
        same = row.session == read.session and row.rank == read.rank
        if same and row.outcome == "ok" and row.done_s <= read.sent_s:
            if row.operation == "create":
                own.append((1, row.done_s))
            elif row.operation == "delete":
                own.append((DELETED, row.done_s))
            elif row.operation == "edit" and row.version > 0:
                own.append((row.version, row.done_s))
    return max(own, key=lambda write: (write[0], -write[1]), default=None)


def sessions(rows: Sequence[Row]) -> list[tuple[bool, bool]]:
    """For each answered follow: it forgets a write of its session, and it goes back."""
    found = []
    for read in filter(answered, rows):
        _, most = meanings(rows, read)
        own = own_write(rows, read)
        earlier = [
            meanings(rows, other)[0]
            for other in filter(answered, rows)
            if (other.session, other.rank) == (read.session, read.rank)
            if other.done_s <= read.sent_s
        ]
        found.append((own is not None and own[0] > most, max(earlier, default=-1) > most))
    return found


def visible(rows: Sequence[Row]) -> list[tuple[float, bool]]:
    """Age of the session's own write, and freshness, of each follow after one."""
    return [
        (read.sent_s - own[1], meanings(rows, read)[1] >= own[0])
        for read in filter(answered, rows)
        if (own := own_write(rows, read)) is not None
    ]
