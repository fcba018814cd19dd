"""Faults prove what they did: one that did nothing, or did not heal, is seen by its own probe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos.acts import probes
from chaos.acts.faults import Cut, Kill, Pause, Slow, fault
from chaos.model.experiment import Act
from chaos.model.stack import Stack
from tests.support.fake_stack import FakeRuntime, World
from tests.support.shortener_process import nobody

ONE_OF_EACH: list[Act] = [Slow("cache", 400), Cut("replica"), Kill("redis"), Pause("web-1")]
one_of_each = pytest.mark.parametrize("one", ONE_OF_EACH, ids=lambda fault: fault.name)


@dataclass(frozen=True)
class Proof:
    took_effect: bool
    healed: bool


def nothing(_: Stack) -> None: ...


def proof(one: Act, *flaws: str, first: Callable[[Stack], None] = nothing) -> Proof:
    """Inject and undo a fault on a fake stack with these flaws, and probe it throughout."""
    with FakeRuntime(World(frozenset(flaws))).up({}, Path()) as stack:
        first(stack)
        before = one.probe(stack)
        undo = one.inject(stack)
        during = one.probe(stack)
        undo()
        undo()
        after = one.probe(stack)
        return Proof(one.took_effect(before, during), one.healed(before, after))


@one_of_each
def test_a_fault_that_did_what_it_should_is_proven(one: Act) -> None:
    assert proof(one) == Proof(took_effect=True, healed=True)


@one_of_each
def test_a_fault_that_silently_did_nothing_is_not_proven(one: Act) -> None:
    assert proof(one, "fault does nothing") == Proof(took_effect=False, healed=True)


@one_of_each
def test_a_fault_that_stays_is_not_healed(one: Act) -> None:
    assert proof(one, "fault stays") == Proof(took_effect=True, healed=False)


@pytest.mark.parametrize("one", [Cut("replica"), Kill("replica")], ids=lambda fault: fault.name)
def test_silence_proves_nothing_of_what_was_silent_before(one: Act) -> None:
    assert not proof(one, first=lambda stack: stack.kill("replica")).took_effect


def test_undoing_a_kill_leaves_alone_what_somebody_else_started_again() -> None:
    with FakeRuntime(World()).up({}, Path()) as stack:
        undo = Kill("redis").inject(stack)
        stack.start("redis")
        stack.pause("redis")
        undo()
        assert stack.state().parts["redis"] == "paused"


@pytest.mark.parametrize(
    ("chosen", "made", "name"),
    [
        (fault("slow", "replication", 250), Slow("replication", 250), "replication link +250 ms"),
        (fault("cut", "worker-primary"), Cut("worker-primary"), "worker-primary link cut"),
        (fault("kill", "worker"), Kill("worker"), "worker killed"),
        (fault("pause", "primary"), Pause("primary"), "primary paused"),
    ],
)
def test_a_person_chooses_a_fault_in_words(chosen: Act, made: Act, name: str) -> None:
    assert chosen == made
    assert chosen.name == name


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        ("melt", "cache", "no fault 'melt': choose one of slow, cut, kill, pause"),
        ("cut", "redis", "no link 'redis': choose one of cache, primary"),
        ("kill", "cache", "no part 'cache': choose one of postgres-1, postgres-2, postgres-3"),
        ("pause", "postgres", "no part 'postgres'"),
    ],
)
def test_a_fault_that_there_is_not_is_told_in_words(kind: str, target: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fault(kind, target)


@pytest.mark.parametrize("latency_ms", [None, 0, -5, 0.5, math.nan, math.inf, 60_001, True, "100"])
def test_a_latency_that_cannot_be_is_told_in_words(latency_ms: float) -> None:
    with pytest.raises(ValueError, match="a whole number from 1 to 60000"):
        fault("slow", "cache", latency_ms)


def test_only_slow_takes_a_latency() -> None:
    with pytest.raises(ValueError, match="latency_ms is for slow, not for cut"):
        fault("cut", "cache", 100)


@pytest.mark.parametrize("url", ["postgresql://any@{}/any", "redis://{}/0", "http://{}/"])
def test_a_probe_of_a_part_that_hangs_takes_no_longer_than_it_says(url: str) -> None:
    """Though libpq waits at least two seconds for a connection."""
    with nobody(silent=True) as address:
        began_s = time.monotonic()
        assert probes.tries_answered(url.format(address)) == 0
        assert time.monotonic() - began_s < Pause.probe_s + 0.5
