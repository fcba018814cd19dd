"""The variation of a failover experiment by its time of detection."""

from __future__ import annotations

import math

import pytest

from chaos.acts import Failover
from chaos.experiments import load
from chaos.judge.experiment_checks import problems
from tools.detection.variation import NotAFailover, varied

TIMES_S = (2.0, 0.5, 1.0)


def test_arms_differ_in_the_time_of_detection_alone() -> None:
    base = load("failover")
    experiment = varied(base, "on", TIMES_S)

    assert [arm.name for arm in experiment.arms] == ["T = 0.5 s", "T = 1 s", "T = 2 s"]
    assert experiment.naive.name == "T = 2 s"
    assert experiment.settings == {**base.settings, **base.arm("on").settings}
    for arm, time_s in zip(experiment.arms, sorted(TIMES_S), strict=True):
        own, given = experiment.timeline_of(arm), base.timeline_of(base.arm("on"))
        assert [at.second for at in own] == [at.second for at in given]
        (control,) = (at.act for at in own if isinstance(at.act, Failover))
        assert control.detect_s == time_s
        assert [at.act for at in own if not isinstance(at.act, Failover)] == [
            at.act for at in given if not isinstance(at.act, Failover)
        ]


def test_the_link_is_probed_again_once_there_is_a_new_primary() -> None:
    experiment = varied(load("failover"), "on", TIMES_S)

    for arm, time_s in zip(experiment.arms, sorted(TIMES_S), strict=True):
        killed_s = max(at.second for at in experiment.timeline_of(arm))
        (lag,) = (at for at in experiment.timeline_of(arm) if at.until_s is not None)
        probed_s = lag.probed_again(experiment.quick.segment_s)
        assert probed_s is not None
        assert killed_s + time_s + 1 < probed_s < experiment.quick.segment_s


def test_theory_is_the_time_of_detection_and_a_promotion() -> None:
    experiment = varied(load("failover"), "async", TIMES_S)

    for arm, time_s in zip(experiment.arms, sorted(TIMES_S), strict=True):
        prediction = arm.predictions[experiment.headline.name]
        assert math.isclose(prediction.of([]), time_s + 0.1)


def test_it_is_an_experiment_without_a_mistake_whose_segments_hold_the_longest_outage() -> None:
    experiment = varied(load("failover"), "async", TIMES_S)

    assert problems(experiment, [experiment.quick, experiment.full]) == []
    assert experiment.quick.segment_s > 1.5 + 2 + 1


@pytest.mark.parametrize("name", ["switchover", "cache-down"])
def test_an_experiment_without_a_controller_has_nothing_to_vary(name: str) -> None:
    base = load(name)
    with pytest.raises(NotAFailover, match=name):
        varied(base, base.naive.name, TIMES_S)
