"""The rate of a gate's load: enough to see a server's own time, and so little that none waits."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from chaos.perf.arm_bed import ArmBed, RunningArm
from chaos.perf.arm_client import ArmClient, without_collector
from chaos.perf.cores import cpu_s
from chaos.perf.load_plan import all_at_once, coin_flips, warm_up
from chaos.perf.trouble import WrongInput

KNEE_S, KNEE_WARM_UP_S = 1.5, 0.5
ASKED_PER_S = 40_000  # more than a server answers
TRIAL_S = 2.0
TRIALS = 2  # a request costs more at a lower rate, where fewer share a turn of the server's loop
CORE_SHARE = 0.5  # of the arms' core, used by all of them
SEED_MAX = 2**31 - 1


def chosen_per_s(bed: ArmBed, arms: Sequence[RunningArm], draw: random.Random) -> float:
    """The rate of all arms together: a share of the knee of one, at which half the core is idle."""
    load = bed.of.service.load
    base = next(arm for arm in arms if arm.name == "base")
    rate_per_s = min(knee_per_s(bed, base) * load.share_of_knee, load.rate_max_per_s)

    with connected(bed, arms) as client:
        asked = bed.of.service.requests, len(arms), rate_per_s
        client.send(warm_up(*asked, load.warm_up_s, draw.randrange(SEED_MAX)))
        for _ in range(TRIALS):
            asked = bed.of.service.requests, len(arms), rate_per_s
            plan = coin_flips(*asked, TRIAL_S, draw.randrange(SEED_MAX))
            began_s, before_s = time.monotonic(), _spent_s(arms)
            client.send(plan)
            used = (_spent_s(arms) - before_s) / (time.monotonic() - began_s)
            rate_per_s = scaled(rate_per_s, used)
            if used <= CORE_SHARE:
                break
    return rate_per_s


def scaled(rate_per_s: float, used: float) -> float:
    """The rate at which arms use at most half of their core, if they used so much of it at this."""
    return rate_per_s * CORE_SHARE / max(used, CORE_SHARE)


def _spent_s(arms: Sequence[RunningArm]) -> float:
    return sum(cpu_s(arm.process) for arm in arms)


def knee_per_s(bed: ArmBed, arm: RunningArm) -> float:
    """Answers a second of an arm under as many requests as it can take."""
    at_once = all_at_once(bed.of.service.requests, 0, int(ASKED_PER_S * KNEE_S), seed=0)
    with connected(bed, [arm]) as client:
        client.send(at_once, KNEE_WARM_UP_S)
        answers = client.send(at_once, KNEE_S)
    answered = np.count_nonzero(answers.statuses)
    if not answered:
        raise WrongInput(f"{arm.name} answers no request: {worst(answers.troubles)}")
    return answered / KNEE_S


@contextmanager
def connected(bed: ArmBed, arms: Sequence[RunningArm]) -> Iterator[ArmClient]:
    """A client of these arms, in their order."""
    service = bed.of.service
    client = ArmClient([arm.address for arm in arms], service.requests, service.load.connections)
    try:
        with without_collector():
            yield client
    finally:
        client.close()


def worst(troubles: Mapping[str, int]) -> str:
    """The most frequent reason for no answer."""
    return max(troubles, key=troubles.__getitem__, default="every request has an answer")
