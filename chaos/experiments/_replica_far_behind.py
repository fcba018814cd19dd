"""Theory of reads from a replica that shows nothing new, while links are edited."""

from __future__ import annotations

import math

from chaos.model.experiment import Prediction
from chaos.model.traffic import Traffic


def theory(
    traffic: Traffic, behind_s: float, bound_s: float, patience_s: float
) -> tuple[Prediction, ...]:
    """Predictions for a replay paused for `behind_s`.

    Of all readers: the stale reads. With a bound on the lag: the stale reads, the look-ups on the
    primary, and when the replica is trusted again. Of commits that wait for the replay: the writes
    not answered within `patience_s`.
    """
    old = stale_share(behind_s, traffic)
    early = bound_s / behind_s * stale_share(bound_s, traffic)
    beyond, stalled = (100 * (1 - t / behind_s) for t in (bound_s, patience_s))
    return (
        Prediction("s(D)", "edits at random", lambda _: old),
        Prediction("B·s(B)/D", "before the bound is exceeded", lambda _: early, bound=True),
        Prediction("1 − B/D", "all once it is", lambda _: beyond),
        Prediction("B/4", "the next look at both", lambda _: bound_s / 4, bound=True),
        Prediction("1 − t/D", "all but the last", lambda _: stalled),
    )


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
