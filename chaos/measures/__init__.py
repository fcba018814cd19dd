"""Figures of a segment, and the estimates made of their repetitions: what experiments measure."""

from chaos.measures.ledgers import duplicated, lost, miscounted, unacknowledged
from chaos.measures.outcomes import failed, goodput, latency, missed, tries
from chaos.measures.recovery import catch_up, recovery
from chaos.measures.samples import peak, per_second
from chaos.measures.selections import (
    after_heal,
    before,
    doing,
    during,
    every,
    follows,
    since_heal,
    whole,
    writes,
)
from chaos.measures.staleness import (
    false_absent,
    impossible,
    reads_going_back,
    stale,
    staleness,
    unread_writes,
    visible,
)

__all__ = [
    "after_heal",
    "before",
    "catch_up",
    "doing",
    "duplicated",
    "during",
    "every",
    "failed",
    "false_absent",
    "follows",
    "goodput",
    "impossible",
    "latency",
    "lost",
    "miscounted",
    "missed",
    "peak",
    "per_second",
    "reads_going_back",
    "recovery",
    "since_heal",
    "stale",
    "staleness",
    "tries",
    "unacknowledged",
    "unread_writes",
    "visible",
    "whole",
    "writes",
]
