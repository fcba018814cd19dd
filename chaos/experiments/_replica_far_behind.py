"""Theory of reads from a replica that shows nothing new, while links are edited."""

from __future__ import annotations

import math

from chaos.model.traffic import Traffic


def stale_share(behind_s: float, traffic: Traffic) -> float:
    """The share of stale reads, in per cent, while a replica stays where it was for so long.

    A visit that writes reads its own write, which is not there. Any other reads one of k links, of
    which each is edited as often: at t it was with the probability 1 − exp(−μt/k).
    """
    total = sum(visit.weight for visit in traffic.visits)
    edits = sum(v.weight for v in traffic.visits if any(s.operation == "edit" for s in v.steps))
    own = sum(visit.weight for visit in traffic.visits if visit.writes) / total
    x = traffic.rate_per_s * edits / total * behind_s / traffic.keys
    others = 1 + math.expm1(-x) / x
    return 100 * (own + (1 - own) * others)
