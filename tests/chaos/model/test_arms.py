"""The arms of a run: by its mode, or by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos import experiments
from chaos.acts import Kill, Patroni
from chaos.model.evidence import CONTROL
from chaos.model.experiment import At, Experiment

HERD = experiments.load("thundering-herd")
LONG = replace(HERD, arms=[replace(arm, full_only=arm.name == "lock") for arm in HERD.arms])
ALL = [arm.name for arm in HERD.arms]


def names(experiment: Experiment, *chosen: str, full: bool = False) -> list[str]:
    return [arm.name for arm in experiment.arms_in(experiment.mode(full=full), chosen)]


def test_a_quick_run_leaves_out_what_only_full_runs_have() -> None:
    assert names(LONG) == [name for name in ALL if name != "lock"]
    assert names(LONG, full=True) == ALL


def test_an_arm_that_needs_longer_segments_has_them_and_the_control_is_as_ever() -> None:
    slow = replace(HERD, arms=[replace(a, least_s=30.0 * (a.name == "lock")) for a in HERD.arms])
    own = {name: slow.lasts_s(HERD.quick, name, 0) for name in ALL}
    assert own == {name: 30 if name == "lock" else HERD.quick.segment_s for name in ALL}
    assert slow.lasts_s(replace(HERD.quick, segment_s=40), "lock", 0) == 40
    assert slow.lasts_s(HERD.quick, CONTROL, -1) == HERD.quick.control_s
    longer_s = HERD.quick.rounds * (30 - HERD.quick.segment_s)
    assert slow.traffic_s(HERD.quick) == pytest.approx(HERD.traffic_s(HERD.quick) + longer_s)


def test_an_arm_needs_what_its_acts_need_or_those_of_the_experiment() -> None:
    own = replace(HERD.naive, timeline=[At(0, Patroni()), At(1, Kill("primary"))])
    assert HERD.needs_of(own) == {"patroni", "kill"}
    assert HERD.needs_of(HERD.naive) == {"toxic"}


@pytest.mark.parametrize("full", [False, True])
def test_an_arm_that_is_named_is_in_any_run_beside_the_naive_one(full: bool) -> None:
    assert names(LONG, "lock", full=full) == [HERD.naive.name, "lock"]
