"""The intervals that are printed cover a known truth as often as docs/coverage.md says."""

from __future__ import annotations

import pytest

from tests.support.interval_coverage import CASES, NOMINAL, TRIES, Case, covered, next_in_range
from tests.support.thorough import times

SLACK = 0.02  # of 700 tries, two and a half standard deviations


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.figure)
def test_an_interval_covers_as_it_says_or_the_page_says_that_it_does_not(case: Case) -> None:
    low, high = NOMINAL
    share = covered(case, 13, times(700, TRIES))
    assert (low - SLACK <= share <= high + SLACK) != case.discrete


def test_the_next_repetition_lies_in_the_range_as_often_as_it_should() -> None:
    assert next_in_range(6, times(700, TRIES)) == pytest.approx(5 / 7, abs=0.05)
