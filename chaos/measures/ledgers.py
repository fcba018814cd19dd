"""Measures of ground truth: what clients were told against what the primary holds."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from chaos.measures.estimates import TAIL, total
from chaos.model.evidence import Estimate, Floats, Ledger, Segment
from chaos.model.experiment import Measure

Kind = Literal["clicks", "links", "edits"]
NOT_READ = "the primary was not read back"


def lost(kind: Kind) -> Measure:
    """Acknowledged to a client, and not in the primary after heal and drain."""
    return _of(kind, "lost")


def untraced(kind: Kind) -> Measure:
    """Lost, and not on a server that lost its role in a failover either."""

    def of(segment: Segment) -> Floats:
        ledger = segment.ledgers.get(kind)
        return np.array([float(ledger.lost - ledger.found) if ledger else np.nan])

    title = f"{kind} lost without a trace"
    return Measure(f"{kind}_untraced", kind, title, of, _read_back, NOT_READ)


def duplicated(kind: Kind) -> Measure:
    """In the primary more than once."""
    return _of(kind, "duplicated")


def unexpected(kind: Kind) -> Measure:
    """In the primary beyond what clients and unanswered requests explain.

    Of edits: those acknowledged at a version that the primary holds with another target, too.
    """
    return _of(kind, "unexpected")


def edits_undone() -> Measure:
    """Edits acknowledged and not in force: lost, or their version was given to another, too."""

    def of(segment: Segment) -> Floats:
        ledger = segment.ledgers.get("edits")
        return np.array([float(ledger.lost + ledger.duplicated) if ledger else np.nan])

    sums = ("edits_lost", "edits_duplicated")
    return Measure("edits_undone", "edits", "edits undone", of, _read_back, NOT_READ, sums=sums)


def miscounted() -> Measure:
    """How far the totals that links show are from the clicks that the primary holds."""
    return _of("clicks", "miscounted")


def unacknowledged() -> Measure:
    """Redirects answered without a click id: the client was not told that its click counts."""

    def of(segment: Segment) -> Floats:
        ledger = segment.ledgers.get("clicks")
        return np.array([ledger.attempted - ledger.acknowledged if ledger else np.nan])

    title = "clicks unacknowledged"
    return Measure("clicks_unacknowledged", "clicks", title, of, _read_back, NOT_READ)


def _read_back(values: Floats, _: float = TAIL) -> Estimate:
    """The sum over all repetitions: known only at the end, it has one look and all of its error."""
    return total(values)


def _of(kind: Kind, figure: str) -> Measure:
    assert figure in Ledger.__dataclass_fields__
    if kind not in get_args(Kind):
        raise ValueError(f"no ledger of {kind!r}; there are: {', '.join(get_args(Kind))}")

    def of(segment: Segment) -> Floats:
        ledger = segment.ledgers.get(kind)
        return np.array([float(getattr(ledger, figure)) if ledger else np.nan])

    return Measure(f"{kind}_{figure}", kind, f"{kind} {figure}", of, _read_back, NOT_READ)
