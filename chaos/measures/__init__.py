"""Figures of a segment, and the estimates made of their repetitions: what experiments measure."""

from chaos.measures.ledgers import (
    duplicated,
    lost,
    miscounted,
    unacknowledged,
    unexpected,
    untraced,
)
from chaos.measures.look_ups import share_on, trusted
from chaos.measures.outage import (
    first_error,
    on_old_timeline,
    overlap,
    steady,
    taken_over,
)
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
    since_act,
    since_heal,
    until_act,
    whole,
    writes,
)
from chaos.measures.staleness import (
    false_absent,
    impossible,
    reads_going_back,
    stale,
    stale_share,
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
    "first_error",
    "follows",
    "goodput",
    "impossible",
    "latency",
    "lost",
    "miscounted",
    "missed",
    "on_old_timeline",
    "overlap",
    "peak",
    "per_second",
    "reads_going_back",
    "recovery",
    "share_on",
    "since_act",
    "since_heal",
    "stale",
    "stale_share",
    "staleness",
    "steady",
    "taken_over",
    "tries",
    "trusted",
    "unacknowledged",
    "unexpected",
    "unread_writes",
    "until_act",
    "untraced",
    "visible",
    "whole",
    "writes",
]
