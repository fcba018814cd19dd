"""The arms of a run: by its mode, or by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos import experiments
from chaos.model.experiment import Experiment

HERD = experiments.load("thundering-herd")
LONG = replace(HERD, arms=[replace(arm, full_only=arm.name == "lock") for arm in HERD.arms])
ALL = [arm.name for arm in HERD.arms]


def names(experiment: Experiment, *chosen: str, full: bool = False) -> list[str]:
    return [arm.name for arm in experiment.arms_in(experiment.mode(full=full), chosen)]


def test_a_quick_run_leaves_out_what_only_full_runs_have() -> None:
    assert names(LONG) == [name for name in ALL if name != "lock"]
    assert names(LONG, full=True) == ALL


@pytest.mark.parametrize("full", [False, True])
def test_an_arm_that_is_named_is_in_any_run_beside_the_naive_one(full: bool) -> None:
    assert names(LONG, "lock", full=full) == [HERD.naive.name, "lock"]
