"""The sequential verdict errs as rarely as it says, and sees what it should."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from chaos.measures.estimates import mean_of_symmetric
from chaos.model.evidence import Floats
from chaos.perf import sequential
from chaos.perf.sequential import (
    FALSE_ALARM,
    FALSE_PASS,
    LOOKS,
    Margin,
    Verdict,
    decide,
    differing,
    is_futile,
    overall,
)
from tests.support.thorough import LONG_S, times

pytestmark = pytest.mark.timeout(LONG_S)

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


NOISES = {
    "normal": lambda rng: rng.normal(0, 0.1, LOOKS[-1]),
    "stalls": lambda rng: (
        rng.normal(0, 0.05, LOOKS[-1])
        + (rng.random(LOOKS[-1]) < 0.1) * rng.exponential(0.7, LOOKS[-1])
    ),
    "exponential": lambda rng: rng.exponential(0.1, LOOKS[-1]),
}


def of_three_arms(noise: str, rng: np.random.Generator) -> Floats:
    """Head less the mean of two bases, which leans to one side if each arm does."""
    head, base, again = (NOISES[noise](rng) for _ in range(3))
    ratios: Floats = head - (base + again) / 2
    return ratios


def wrong(noise: str, change: float, verdict: Verdict) -> float:
    """The share of runs with this change that have this verdict, on one metric alone."""
    rng, tries = np.random.default_rng(9), 5 * TRIES
    launches = (math.log1p(change) + of_three_arms(noise, rng) for _ in range(tries))
    said = (decide({"p99": each}, {"p99": MARGIN})["p99"].verdict for each in launches)
    return sum(one == verdict for one in said) / tries


@pytest.mark.parametrize("noise", NOISES)
def test_noise_that_hits_one_arm_alone_keeps_both_errors(noise: str) -> None:
    for change, verdict, allowed in (
        (MARGIN.fail_above, "FAIL", FALSE_ALARM),
        (MARGIN.pass_below, "PASS", FALSE_PASS),
    ):
        share = wrong(noise, change, verdict)  # type: ignore[arg-type]
        assert share <= allowed + 4 * math.sqrt(allowed / (5 * TRIES))


def test_a_constant_that_counts_on_what_looks_have_in_common_would_be_wrong_where_noise_leans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pocock's for five looks is about a third of the error at each, and not a fifth."""
    monkeypatch.setattr(sequential, "FALSE_PASS", FALSE_PASS * len(LOOKS) / 3)
    assert wrong("exponential", MARGIN.pass_below, "PASS") > FALSE_PASS


def test_two_launches_with_a_figure_decide_nothing_however_far_apart() -> None:
    for two in ([-400.0, 400.0], [1.0, 1.0]):
        decided = decide({"p99": np.array([math.nan, *two, math.nan])}, MARGINS)["p99"]
        assert (decided.verdict, decided.low, decided.high) == (
            "INCONCLUSIVE", -math.inf, math.inf,
        )  # fmt: skip
        assert decided.launches == 2


def test_a_bound_that_is_too_far_out_for_a_number_is_no_bound() -> None:
    decided = decide({"p99": np.array([-400.0, 400.0, -400.0, 400.0])}, MARGINS)["p99"]
    assert (decided.verdict, decided.high) == ("INCONCLUSIVE", math.inf)


def futile(log_ratios: dict[str, Floats]) -> bool:
    return is_futile(log_ratios, MARGINS, decide(log_ratios, MARGINS))


HIDDEN = np.array([0.5, -0.5, 0.4, -0.4, 0.6, -0.6, 0.5, -0.5, 0.4, -0.4, 0.6, -0.6])


def test_noise_that_hides_everything_ends_the_run_at_a_look_before_the_last() -> None:
    assert [n for n in range(13) if futile({"p99": HIDDEN[:n]})] == [6, 8, 10]


def test_what_passes_otherwise_does_not_make_up_for_a_metric_that_cannot() -> None:
    calm = HIDDEN / 1000
    assert not futile({"p50": calm[:6]})
    assert futile({"p50": calm[:6], "p99": HIDDEN[:6]})


def test_as_long_as_a_metric_may_fail_the_run_goes_on() -> None:
    near = 0.025 + HIDDEN / 50
    assert decide({"p50": near[:6]}, MARGINS)["p50"].verdict == "INCONCLUSIVE"
    assert not futile({"p50": near[:6]})
    assert not futile({"p50": near[:6], "p99": HIDDEN[:6]})


def test_a_metric_with_too_few_figures_may_still_do_anything() -> None:
    few = np.where(np.arange(6) < 2, HIDDEN[:6], math.nan)
    assert not futile({"p50": few, "p99": HIDDEN[:6]})


def ended(log_ratios: dict[str, Floats]) -> tuple[Verdict, int]:
    """The verdict of a run that ends once it is futile, and after how many launches."""
    for look in LOOKS:
        shown = {name: values[:look] for name, values in log_ratios.items()}
        decided = decide(shown, MARGINS)
        if overall(decided) != "INCONCLUSIVE" or is_futile(shown, MARGINS, decided):
            break
    return overall(decided), look


@pytest.mark.parametrize("noise", ["normal", "stalls"])
@pytest.mark.parametrize("change", [0.0, 0.02, 0.03, 0.05])
def test_to_end_what_is_futile_loses_next_to_no_verdict(change: float, noise: str) -> None:
    tries, rng = times(60, 1000), np.random.default_rng(11)
    lost = 0
    for scale in rng.choice([0.1, 0.3, 0.6], tries).tolist():
        run = {name: math.log1p(change) + scale * of_three_arms(noise, rng) for name in METRICS}
        lost += ended(run)[0] != overall(decide(run, MARGINS))
    assert lost / tries <= 0.01


def test_to_end_what_is_futile_saves_launches_where_noise_hides_everything() -> None:
    runs = [ended(simulated(0.0, 0.1, seed)) for seed in range(times(100, 1000))]
    assert np.mean([launches for _, launches in runs]) < 9
