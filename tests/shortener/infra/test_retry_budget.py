"""The retry budget: a share of the look-ups that succeed, and a small burst."""

from __future__ import annotations

from stack.shortener.infra.retry_budget import RetryBudget


def test_retries_are_a_share_of_what_goes_well_and_a_small_burst() -> None:
    budget = RetryBudget(0.1)
    burst = sum(budget.spend() for _ in range(1000))
    assert burst == 10
    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(1000)) == 10  # what was saved up is bounded
    spent = 0
    for _ in range(1000):
        budget.earn()
        spent += budget.spend()
    assert 99 <= spent <= 100


def test_a_share_of_nothing_is_no_retries() -> None:
    budget = RetryBudget(0)
    budget.earn()
    assert not budget.spend()
