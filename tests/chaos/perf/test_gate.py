"""The gate asks all arms alike, and ends as soon as more launches would change nothing."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil

from chaos.perf.arm_bed import RunningArm
from chaos.perf.arm_client import Answers
from chaos.perf.cores import Cores
from chaos.perf.gate import _Launcher
from chaos.perf.launches import ARMS
from chaos.perf.load_plan import LoadPlan
from chaos.perf.service_file import Load, Metric, Request
from tests.support.gate_launches import SERVICE

KINDS = (Request(name="a", share=3, path="/a/{n}", numbers=100), Request(name="b", path="/b"))
CAPACITY = SERVICE.model_copy(
    update={
        "requests": KINDS,
        "metrics": (Metric(figure="capacity", pass_below=10),),
        "load": Load(block_s=0.01),
    }
)


class Client:
    """Keeps the plans that it is to send, and answers nothing."""

    def __init__(self) -> None:
        self.plans: list[LoadPlan] = []

    def send(self, plan: LoadPlan, _drain_s: float) -> Answers:
        self.plans.append(plan)
        none = np.zeros(len(plan.due_s))
        zeros = none.astype(np.int64)
        return Answers(zeros, none, none, none, zeros, Counter(), 0.0)


def test_blocks_ask_all_arms_the_same_and_something_else_on_the_way_back() -> None:
    bed: Any = SimpleNamespace(of=SimpleNamespace(service=CAPACITY), cores=Cores(1, frozenset({0})))
    client: Any = Client()
    arms = [RunningArm(name, ("127.0.0.1", 1), psutil.Process()) for name in ARMS]
    blocks = _Launcher(bed, random.Random(1), 100.0)._blocks(client, arms)
    there, back = client.plans[:3], client.plans[3:]
    assert [plan.arms[0] for plan in back] == [plan.arms[0] for plan in there][::-1]
    assert [block.place for block in blocks] == [plan.arms[0] for plan in client.plans]
    for first, *others in (there, back):
        assert len(np.unique(first.kinds)) == len(KINDS)
        for other in others:
            assert np.array_equal(first.kinds, other.kinds)
            assert np.array_equal(first.numbers, other.numbers)
    assert not np.array_equal(there[0].numbers[:50], back[0].numbers[:50])
