"""The rate leaves half of the arms' core idle."""

from __future__ import annotations

import pytest

from chaos.perf.rates import scaled


@pytest.mark.parametrize(
    ("used", "rate_per_s"), [(0.9, 500), (0.6, 750), (0.5, 900), (0.2, 900), (0.0, 900)]
)
def test_a_rate_at_which_arms_use_more_than_half_their_core_is_lowered_and_none_is_raised(
    used: float, rate_per_s: float
) -> None:
    assert scaled(900, used) == pytest.approx(rate_per_s)
