"""Histories of links: made of rows written by hand, or of a simulated shortener that is sound."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from chaos.model.evidence import Requests

PREPARED = 2  # links that a simulated segment begins with
LATEST_S = 40.0


@dataclass(frozen=True)
class Row:
    """One request; `status` follows from the outcome unless given."""

    operation: str
    sent_s: float
    done_s: float
    version: int = -1
    rank: int = 0
    session: int = 0
    outcome: str = "ok"
    status: int = 0


def requests(rows: Sequence[Row]) -> Requests:
    """The columns of some rows."""
    statuses = {"ok": 200, "absent": 404, "fail": 400, "unknown": 0}
    sent_s = np.array([row.sent_s for row in rows], dtype=np.float64)
    return Requests(
        intended_s=sent_s,
        sent_s=sent_s,
        done_s=np.array([row.done_s for row in rows], dtype=np.float64),
        rank=np.array([row.rank for row in rows], dtype=np.int64),
        status=np.array([row.status or statuses[row.outcome] for row in rows], dtype=np.int64),
        version=np.array([row.version for row in rows], dtype=np.int64),
        age_ms=np.full(len(rows), np.nan),
        outcome=np.array([row.outcome for row in rows], dtype=np.str_),
        served_from=np.full(len(rows), ""),
        operation=np.array([row.operation for row in rows], dtype=np.str_),
        session=np.array([row.session for row in rows], dtype=np.int64),
        attempt=np.ones(len(rows), dtype=np.int64),
        last=np.ones(len(rows), dtype=np.bool_),
        timeline=np.full(len(rows), -1),
    )


@dataclass
class _Link:
    """A simulated link: its changes as they happened, and what writers were told."""

    rank: int
    changes: list[tuple[float, str, Row]] = field(default_factory=list)
    states: list[tuple[float, int, bool]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def settle(self) -> None:
        """Apply the changes in the order in which they happened."""
        version, deleted = int(self.rank < PREPARED), False
        self.states.append((-np.inf, version, deleted))
        for at_s, operation, row in sorted(self.changes, key=lambda change: change[0]):
            if deleted or (version == 0) != (operation == "create"):
                self.rows.append(_told(row, row.version, "absent"))
                continue
            version, deleted = version + 1, operation == "delete"
            self.states.append((at_s, version, deleted))
            self.rows.append(_told(row, -1 if deleted else version, "ok"))

    def at(self, t_s: float) -> tuple[int, bool]:
        """Version at a moment, and whether it was deleted."""
        _, version, deleted = max(state for state in self.states if state[0] <= t_s)
        return version, deleted


def _told(row: Row, version: int, outcome: str) -> Row:
    """What a writer was told, which is nothing if its request was not answered."""
    if row.outcome != "ok":
        return row
    return replace(row, version=version if outcome == "ok" else -1, outcome=outcome)


@dataclass(frozen=True)
class SoundHistory:
    """Requests to a shortener with one current copy."""

    rows: Sequence[Row]

    @property
    def requests(self) -> Requests:
        """Its columns, in order of time."""
        return requests(self.rows)


def sound_history(seed: int, links: int = 5, reads: int = 60) -> SoundHistory:
    """Simulate writers, whose requests may go unanswered, and readers of some links."""
    rng = random.Random(seed)
    each = [_written(rng, rank) for rank in range(links)]
    rows = [row for link in each for row in link.rows]
    for session in range(links, links + 4):
        rows += _followed(rng, session, 0.0, [rng.choice(each) for _ in range(reads // 4)])
    for link in each:
        for before in [row for row in link.rows if row.outcome == "ok"]:
            rows += _followed(rng, link.rank, before.done_s, [link])[:1]
    return SoundHistory(sorted(rows, key=lambda row: row.sent_s))


def _written(rng: random.Random, rank: int) -> _Link:
    link, t_s = _Link(rank), rng.uniform(0, 5)
    operations = [*rng.choices(["edit"], k=rng.randrange(8)), *["delete"] * rng.randrange(2)]
    if rank >= PREPARED:
        operations.insert(0, "create")
    for operation in operations:
        outcome = rng.choice(["ok", "ok", "ok", "unknown", "fail"])
        row = Row(operation, t_s, t_s + rng.uniform(0.1, 2), -1, rank, rank, outcome)
        _happens(rng, link, row)
        t_s = row.done_s + rng.uniform(0.3, 3)
    link.settle()
    return link


def _happens(rng: random.Random, link: _Link, row: Row) -> None:
    """Let a request change the link while it is made, or if it went unanswered later or never."""
    if row.operation == "create":
        row = replace(row, outcome="ok")
    broken = row.outcome == "fail" and rng.random() < 0.5
    row = replace(row, status=500 if broken else 0)
    if row.outcome == "ok":
        link.changes.append((rng.uniform(row.sent_s, row.done_s), row.operation, row))
    elif (row.outcome == "unknown" or broken) and rng.random() < 0.6:
        link.changes.append((rng.uniform(row.sent_s, row.sent_s + 8), row.operation, row))
    else:
        link.rows.append(row)


def _followed(rng: random.Random, session: int, t_s: float, links: Sequence[_Link]) -> list[Row]:
    rows = []
    for link in links:
        sent_s = t_s + rng.uniform(0.0, 0.1)
        t_s = sent_s + rng.uniform(0.05, LATEST_S / 15)
        version, deleted = link.at(rng.uniform(sent_s, t_s))
        gone = deleted or version == 0
        shown = rng.choice([version, -1]) if gone else version
        outcome = "absent" if gone else "ok"
        rows.append(Row("follow", sent_s, t_s, shown, link.rank, session, outcome))
    return rows
