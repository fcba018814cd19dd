"""Verdicts at a limit are wrong no more often than docs/coverage.md says, with all their looks."""

from __future__ import annotations

import pytest

from chaos.model.evidence import ERROR
from tests.support.claim_errors import QUICK, at_the_limit, away_from_the_limit
from tests.support.thorough import LONG_S, times

SLACK = 0.05  # of 120 runs, two and a half standard deviations
TRIES = times(120, 1000)


@pytest.mark.timeout(LONG_S)
def test_at_its_limit_a_claim_is_rarely_decided() -> None:
    for trial in at_the_limit():
        seen = trial.run(QUICK, TRIES)
        assert seen.passed + seen.failed <= ERROR + SLACK, trial.text


@pytest.mark.timeout(LONG_S)
def test_away_from_it_claims_are_not_decided_wrongly_and_the_plain_ones_at_once() -> None:
    for trial in away_from_the_limit():
        seen = trial.run(QUICK, TRIES // 4)
        half = "in a process" in trial.text
        assert (seen.passed if half else seen.failed) <= ERROR, trial.text
        if half or "lock that holds" in trial.text:
            assert (seen.failed if half else seen.passed, seen.rounds) == (1, 2)
