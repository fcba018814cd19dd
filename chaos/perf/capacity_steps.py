"""Steps of the capacity finder on a running service: open loop, warmed up, all requests counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from chaos.perf.arm_bed import ArmBed, Comparison, RunningArm, arm_bed
from chaos.perf.capacity import Capacity, Objective, Step, find_capacity
from chaos.perf.cores import Cores
from chaos.perf.launches import ArmName
from chaos.perf.load_plan import coin_flips
from chaos.perf.rates import SEED_MAX, connected, knee_per_s

ARM: ArmName = "head"
LATE_S = 0.002
FIRST_SHARE = 0.3  # of the knee: where a search begins
WARM_UP_S = 1.0
REST_S = 0.3  # drained before the next step

Progress = Callable[[Step], None]


def run_capacity(
    of: Comparison, to: Objective, cores: Cores, directory: Path, step_s: float, progress: Progress
) -> Capacity:
    """Find the capacity of head.

    Raises:
        WrongInput: it does not start, or answers nothing.
    """
    draw = random.Random()
    logs = directory / "logs"
    with arm_bed(of, cores, logs, [ARM]) as bed, bed.running([ARM], draw) as (arm,):
        first_per_s = knee_per_s(bed, arm) * FIRST_SHARE

        def measured(rate_per_s: float) -> Step:
            step = _step(bed, arm, rate_per_s, step_s, to, draw.randrange(SEED_MAX))
            progress(step)
            return step

        return find_capacity(measured, to, first_per_s)


def _step(
    bed: ArmBed, arm: RunningArm, rate_per_s: float, seconds: float, to: Objective, seed: int
) -> Step:
    """Observe the service at a rate.

    A request without an answer took as long as it was waited for, so it is among the slowest.
    """
    requests = bed.of.service.requests
    warm_up, plan = (
        coin_flips(requests, 1, rate_per_s, each_s, seed + number)
        for number, each_s in enumerate((WARM_UP_S, seconds))
    )
    with connected(bed, [arm]) as client:
        client.send(warm_up, REST_S)
        answers = client.send(plan)
    statuses = zip(plan.kinds.tolist(), answers.statuses.tolist(), strict=True)
    failed = [not requests[kind].expects(status) for kind, status in statuses]
    latency_s = np.where(np.isfinite(answers.latency_s), answers.latency_s, np.inf)
    latency_ms, p50_ms = (
        float(np.percentile(latency_s, share, method="higher")) * 1000
        for share in (to.percentile, 50.0)
    )
    late = float(np.mean(answers.own_lag_s > LATE_S))
    return Step(rate_per_s, latency_ms, p50_ms, float(np.mean(failed)), late)
