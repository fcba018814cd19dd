"""The gate asks all arms alike, and ends as soon as more launches would change nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from chaos.perf import gate
from chaos.perf.arm_bed import RunningArm
from chaos.perf.arm_client import Answers
from chaos.perf.cores import Cores
from chaos.perf.counters import Counted
from chaos.perf.gate import Outcome, _Launcher
from chaos.perf.launches import ARMS, Launch
from chaos.perf.load_plan import LoadPlan
from chaos.perf.service_file import Load, Metric, Request
from tests.support.gate_launches import SERVICE, counted, outcome
from tests.support.gate_launches import launch as made

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


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of launches, of a gate whose arms only seem to run; each is as `wild`."""
    numbers: list[int] = []

    class Bed:
        def seeded_once(self, _draw: random.Random) -> Bed:
            return self

        @contextmanager
        def running(self, *_: object) -> Iterator[list[RunningArm]]:
            yield []

    def launch(_: object, number: int) -> Launch:
        numbers.append(number)
        return wild(number)

    monkeypatch.setattr(gate, "arm_bed", lambda *_: nullcontext(Bed()))
    monkeypatch.setattr(gate, "chosen_per_s", lambda *_: 100.0)
    monkeypatch.setattr(_Launcher, "launch", launch)
    return numbers


def wild(number: int) -> Launch:
    """A launch in which head is much slower or much faster, by turns."""
    return made(number, {"head": (0.5, 2.0)[number % 2]})


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: Counted) -> Outcome:
    monkeypatch.setattr(gate, "counted", lambda *_: counts)
    of = outcome([]).of
    return gate.run_gate(of, Cores(1, frozenset({0})), tmp_path, 1, lambda _: None)


def test_a_counter_that_fails_ends_the_run_before_its_first_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launched: list[int]
) -> None:
    more = counted("read", "SQL statements", {"base": 1, "again": 1, "head": 2})
    ended = run(tmp_path, monkeypatch, [more])
    assert (ended.judgement.verdict, ended.rate_per_s, launched) == ("FAIL", 0.0, [])


def test_noise_that_hides_everything_ends_the_run_at_the_second_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launched: list[int]
) -> None:
    ended = run(tmp_path, monkeypatch, [])
    assert (ended.judgement.verdict, ended.judgement.is_futile) == ("INCONCLUSIVE", True)
    assert launched == [1, 2, 3, 4, 5, 6]
    assert len([*(tmp_path / "samples").iterdir()]) == 6


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
