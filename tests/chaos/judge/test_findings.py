"""A check without data is INVALID, whatever else it found."""

from __future__ import annotations

import pytest

from chaos.judge.findings import guard
from chaos.model.evidence import Finding, Verdict


@pytest.mark.parametrize(
    ("odd", "seen", "verdict", "observed"),
    [
        ([], 3, Verdict.PASS, "all 3 are"),
        ([], 0, Verdict.INVALID, "there was nothing to judge it by"),
        (["one", "two", "one"], 3, Verdict.INVALID, "one; two"),
        (["one"], 0, Verdict.INVALID, "one"),
    ],
)
def test_what_is_odd_or_was_not_looked_at_is_invalid(
    odd: list[str], seen: int, verdict: Verdict, observed: str
) -> None:
    assert guard("it holds", odd, "all 3 are", seen=seen) == Finding("it holds", verdict, observed)
