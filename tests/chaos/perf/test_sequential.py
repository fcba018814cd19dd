"""The sequential verdict errs as rarely as it says, and sees what it should."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from chaos.measures.estimates import mean_of_symmetric
from chaos.model.evidence import Floats
from chaos.perf.sequential import (
    FALSE_ALARM,
    FALSE_PASS,
    LOOKS,
    Margin,
    Verdict,
    decide,
    differing,
    overall,
)
from tests.support.thorough import times

MARGIN = Margin(fail_above=0.01, pass_below=0.03)
METRICS = ("p50", "p90", "p99", "cpu")
MARGINS = dict.fromkeys(METRICS, MARGIN)
TRIES = times(200, 20_000)


def simulated(change: float, spread: float, seed: int) -> dict[str, Floats]:
    """Launches of four metrics that share half of their noise, as those of one launch do."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, spread * math.sqrt(0.5), LOOKS[-1])
    own = {name: rng.normal(0, spread * math.sqrt(0.5), LOOKS[-1]) for name in METRICS}
    return {name: math.log1p(change) + common + each for name, each in own.items()}


def share(change: float, spread: float, verdict: Verdict) -> float:
    runs = (decide(simulated(change, spread, seed), MARGINS) for seed in range(TRIES))
    return sum(overall(run) == verdict for run in runs) / TRIES


def slack(rate: float) -> float:
    """Four standard deviations of a share of the tries."""
    return 4 * math.sqrt(rate * (1 - rate) / TRIES)


@pytest.mark.parametrize("spread", [0.003, 0.01, 0.03])
def test_a_change_at_the_margin_is_rarely_called_worse(spread: float) -> None:
    assert share(0.01, spread, "FAIL") <= FALSE_ALARM + slack(FALSE_ALARM)


@pytest.mark.parametrize("spread", [0.003, 0.01, 0.03])
def test_a_change_at_the_other_margin_rarely_passes(spread: float) -> None:
    assert share(0.03, spread, "PASS") <= FALSE_PASS + slack(FALSE_PASS)


def test_unchanged_code_passes_and_five_per_cent_fail() -> None:
    assert share(0.0, 0.01, "PASS") > 0.97
    assert share(0.05, 0.01, "FAIL") > 0.99


@pytest.mark.parametrize(
    "drawn",
    [
        lambda rng: rng.normal(0, 1, LOOKS[-1]),
        lambda rng: rng.laplace(0, 1, LOOKS[-1]),
        lambda rng: rng.standard_t(3, LOOKS[-1]),
    ],
    ids=["normal", "laplace", "stalls"],
)
def test_symmetric_noise_of_any_tail_keeps_the_error(
    drawn: Callable[[np.random.Generator], Floats],
) -> None:
    rng = np.random.default_rng(5)
    tries, tail = 5 * TRIES, FALSE_ALARM / len(LOOKS)
    missed = sum(
        any(mean_of_symmetric(values[:look], tail).low > 0 for look in LOOKS)
        for values in (drawn(rng) for _ in range(tries))
    )
    assert missed / tries <= FALSE_ALARM + 4 * math.sqrt(FALSE_ALARM / tries)


def test_two_arms_of_the_same_code_rarely_differ() -> None:
    found = sum(bool(differing(simulated(0.0, 0.02, seed), MARGINS)) for seed in range(TRIES))
    assert found / TRIES <= FALSE_ALARM + slack(FALSE_ALARM)


def test_two_arms_that_differ_are_named_whichever_is_slower() -> None:
    faster = simulated(-0.05, 0.005, 1)
    assert differing({"p50": faster["p50"], "cpu": simulated(0, 0.005, 2)["cpu"]}, MARGINS) == [
        "p50"
    ]


def test_a_metric_that_fails_leaves_its_error_to_the_others() -> None:
    clear = np.log1p(np.array([0.2, 0.21, 0.2, 0.19]))
    # between the bound that half of the error gives, and that of all of it
    spread = np.array([-1.0, 1.0, -1.0, 1.0]) * 0.001
    near = math.log1p(0.01) + spread - mean_of_symmetric(spread, FALSE_ALARM / 5 / 1.5).low
    together = decide({"a": clear, "b": near}, {"a": MARGIN, "b": MARGIN})
    beside = decide({"a": clear - clear, "b": near}, {"a": MARGIN, "b": MARGIN})
    assert together["b"].verdict == "FAIL"
    assert beside["b"].verdict != "FAIL"


def test_a_verdict_stands_whatever_comes_later() -> None:
    launches = np.concatenate([np.array([0.1, 0.101, 0.1, 0.099]), -np.ones(8)])
    decided = decide({"p50": launches}, MARGINS)["p50"]
    assert (decided.verdict, decided.launches) == ("FAIL", 4)


def test_before_the_first_look_nothing_is_decided() -> None:
    decided = decide({"p50": np.array([0.5, 0.5, 0.5])}, MARGINS)
    assert overall(decided) == "INCONCLUSIVE"
    assert decided["p50"].launches == 0


def test_one_metric_in_doubt_keeps_the_others_from_passing() -> None:
    calm, wild = np.array([0.0, 1e-3, -1e-3, 0.0]), np.array([0.3, -0.3, 0.2, -0.2])
    decided = decide({"p50": calm, "p99": wild}, MARGINS)
    assert [each.verdict for each in decided.values()] == ["PASS", "INCONCLUSIVE"]
    assert overall(decided) == "INCONCLUSIVE"


@pytest.mark.parametrize("noise", ["stalls", "exponential"])
def test_stalls_that_hit_one_arm_alone_keep_both_errors(noise: str) -> None:
    """Head less the mean of two bases leans to one side if each arm does."""
    rng = np.random.default_rng(9)

    def of_an_arm() -> Floats:
        if noise == "exponential":
            return rng.exponential(0.1, LOOKS[-1])
        hit = rng.random(LOOKS[-1]) < 0.1
        return rng.normal(0, 0.05, LOOKS[-1]) + hit * rng.exponential(0.7, LOOKS[-1])

    tries = 5 * TRIES
    launches = [of_an_arm() - (of_an_arm() + of_an_arm()) / 2 for _ in range(tries)]
    for change, verdict, allowed in ((0.01, "FAIL", FALSE_ALARM), (0.03, "PASS", FALSE_PASS)):
        said = [decide({"p99": math.log1p(change) + each}, {"p99": MARGIN}) for each in launches]
        wrong = sum(one["p99"].verdict == verdict for one in said) / tries
        assert wrong <= allowed + 4 * math.sqrt(allowed / tries)
