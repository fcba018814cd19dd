"""Measures of where look-ups go, on segments in which that is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from chaos import measures as m
from chaos.model.evidence import Segment
from chaos.model.experiment import Measure
from tests.support.segments import acted, looked_up, segment_of

HEALED_S = 12.0
P, R = "primary", "replica"


def segment(look_ups: Sequence[tuple[float, str]], *, healed_s: float | None = HEALED_S) -> Segment:
    """A segment from 10 to 20 with an act from 11 on, and look-ups asked at times of databases."""
    times = [asked_s for asked_s, _ in look_ups]
    asked = replace(looked_up(times, times, times, times), db=np.array([db for _, db in look_ups]))
    return segment_of(10.0, 20.0, look_ups=asked, acts=[acted(11.0, healed_s)])


def figure(measure: Measure, own: Segment) -> float:
    (value,) = measure.of(own)
    return float(value)


def test_a_share_is_of_the_look_ups_asked_then() -> None:
    own = segment([(10.5, R), (11.1, P), (11.2, P), (11.3, R), (11.9, P), (13, R)])
    assert figure(m.share_on("primary", m.during), own) == 75
    assert figure(m.share_on("replica", m.during), own) == 25
    assert figure(m.share_on("primary"), own) == 50
    assert math.isnan(figure(m.share_on("primary", m.during), segment([(10.5, R)])))


@pytest.mark.parametrize(
    ("look_ups", "trusted_s"),
    [
        ([(12.1, R), (13, R)], 0.1),
        ([(11.9, R), (12.2, P), (12.5, R), (13, R)], 0.5),
        ([(13, R), (12.5, R), (12.2, P)], 0.5),  # in order of time, as they may be logged in any
        ([(12.5, R), (13, P), (14, R)], 2.0),
        ([(12.5, R), (13, P), *[(14 + i / 10, R) for i in range(8)]], 0.5),
        ([(12.5, R), (13, P), *[(14 + i / 10, R) for i in range(7)]], 2.0),
        ([(12.5, P), (13, R), (20.5, P)], 1.0),  # that one was after the segment
        ([(12.5, P), (13, P)], math.inf),
        ([(11.5, R)], math.nan),
        ([], math.nan),
    ],
)
def test_a_database_is_trusted_since_the_first_of_the_look_ups_that_stay(
    look_ups: Sequence[tuple[float, str]], trusted_s: float
) -> None:
    assert figure(m.trusted("replica"), segment(look_ups)) == pytest.approx(trusted_s, nan_ok=True)


def test_without_an_act_there_is_nothing_to_be_trusted_after() -> None:
    own = replace(segment([(12.5, R)]), acts=[])
    assert math.isnan(figure(m.trusted("replica"), own))


def test_what_is_never_trusted_is_so_from_the_heal_to_the_end_at_least() -> None:
    censored_at = m.trusted("replica").censored_at
    assert censored_at is not None
    assert censored_at(segment([])) == 8
