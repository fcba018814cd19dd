"""Theory of reads from a replica that is behind: against a simulation, and at its ends."""

from __future__ import annotations

import random

import pytest

from chaos.experiments._replica_far_behind import stale_share
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

EDIT = Visit("edit and follow", (Step("edit"), Step("follow")), weight=0.5)
MAKE = Visit("make and follow", (Step("create"), Step("follow")), weight=0.25, own_link=True)


def simulated(behind_s: float, traffic: Traffic) -> float:
    """The same share of many visits, one after the other, of links that are edited at random."""
    rng, stale, reads = random.Random(7), 0, 0
    weights = [visit.weight for visit in traffic.visits]
    for _ in range(400):
        t_s, edited = 0.0, set()
        while (t_s := t_s + rng.expovariate(traffic.rate_per_s)) < behind_s:
            (visit,) = rng.choices(traffic.visits, weights)
            link = rng.randrange(traffic.keys)
            if visit is EDIT:
                edited.add(link)
            reads, stale = reads + 1, stale + (visit.writes or link in edited)
    return 100 * stale / reads


@pytest.mark.parametrize("behind_s", [0.3, 2.5])
def test_the_share_of_stale_reads_is_that_of_a_simulation(behind_s: float) -> None:
    traffic = Traffic(60, keys=30, visits=(FOLLOW, EDIT, MAKE))
    share = simulated(behind_s, traffic)
    assert stale_share(behind_s, traffic) == pytest.approx(share, abs=1.5)


def test_at_first_only_own_writes_are_missing_and_at_last_all_is_old() -> None:
    traffic = Traffic(60, keys=30, visits=(FOLLOW, EDIT, MAKE))
    assert stale_share(1e-6, traffic) == pytest.approx(100 * 0.75 / 1.75, abs=0.01)
    assert stale_share(1e6, traffic) == pytest.approx(100, abs=0.01)
