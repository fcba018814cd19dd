"""Each claim passes, fails or has no data; a figure that was cut short is no good news."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from chaos.judge import claims
from chaos.measures.estimates import mean, total
from chaos.model.evidence import ArmResult, Estimate, Finding, Predicted, Verdict
from chaos.model.experiment import Claim, Measure

WAIT = Measure("wait", "queries", "mean wait", lambda _: np.array([]), mean)
PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


def arms(*, predicted: float = 26.0, **values: float) -> dict[str, ArmResult]:
    """Arms by what was measured of them, each with an interval of one to both sides."""
    return {
        name: ArmResult(
            name=name,
            naive=name == "direct",
            verdict=PASS,
            measures={WAIT.name: Estimate(value, value - 1, value + 1, 6, "mean95")},
            predictions={WAIT.name: Predicted(predicted, "", "", False)},
            inputs={},
        )
        for name, value in values.items()
    }


def censored(*names: str, predicted: float = 26.0, **values: float) -> dict[str, ArmResult]:
    """The same, and the segments of the named arms ended before their figures were known."""
    rows = arms(predicted=predicted, **values)
    for name in names:
        cut = replace(rows[name].measures[WAIT.name], at_least=True)
        rows[name] = replace(rows[name], measures={WAIT.name: cut})
        rows[name] = replace(
            rows[name], predictions=arms(predicted=predicted, x=0)["x"].predictions
        )
    return rows


def facts(*, predicted: float = 26.0, **values: float) -> dict[str, ArmResult]:
    """The same, each a sum over six repetitions."""
    rows = arms(predicted=predicted, **values)
    sums = {name: replace(total(np.full(6, seen / 6)), value=seen) for name, seen in values.items()}
    return {name: replace(row, measures={WAIT.name: sums[name]}) for name, row in rows.items()}


def between(**ends: tuple[float, float, float]) -> dict[str, ArmResult]:
    """Arms with a value and the ends of its interval each."""
    known = {value: (low, high, "mean95") for value, low, high in ends.values()}
    return _with(arms(**{arm: value for arm, (value, _, _) in ends.items()}), known.__getitem__)


def worst(**values: float) -> dict[str, ArmResult]:
    """The same, each the largest of some from zero on."""
    return _with(arms(**values), lambda seen: (0.0, seen, "range"))


def unbounded(**values: float) -> dict[str, ArmResult]:
    """The same, from one repetition."""
    return _with(arms(**values), lambda _: (-math.inf, math.inf, "mean95"))


def _with(
    rows: dict[str, ArmResult], ends: Callable[[float], tuple[float, float, Any]]
) -> dict[str, ArmResult]:
    changed = {}
    for name, row in rows.items():
        seen = row.measures[WAIT.name]
        low, high, interval = ends(seen.value)
        other = replace(seen, low=low, high=high, interval=interval)
        changed[name] = replace(row, measures={WAIT.name: other})
    return changed


def open_(observed: str, limit: str) -> str:
    """What an inconclusive claim says."""
    return f"inconclusive: {observed} spans {limit}; more rounds would decide"


SHOWS = partial(claims.shows, "direct", WAIT, share_of_prediction=0.5, prediction_at_least=20)
REACHES = partial(claims.shows, "direct", WAIT, at_least=5)
BOTH = partial(claims.shows, "direct", WAIT, at_least=5, share_of_prediction=0.5)
ANY_SHARE = partial(claims.shows, "direct", WAIT, share_of_prediction=0.5)
NARROW = partial(claims.shows, "direct", WAIT, at_least=5, at_most=6)
WITHIN = partial(claims.shows, "direct", WAIT, at_least=5, at_most=10)
NO_MORE = partial(claims.shows, "direct", WAIT, at_most=10, share_of_prediction=0.5)
LIMIT = partial(claims.at_most, "lock", WAIT, 1.5)
LEAST = partial(claims.at_least, "lock", WAIT, 1.5)
LAW = partial(claims.follows_law, "xfetch", WAIT, within=0.25, full_only=True)
FEWER = partial(claims.fewer_than, "lock", "direct", WAIT, share=0.5)
NONE = partial(claims.none, WAIT)
NONE_BUT = partial(claims.none, WAIT, but="direct")
NONE_BUT_TWO = partial(claims.none, WAIT, but=("direct", "lock"))


@pytest.mark.parametrize(
    ("claim", "seen", "verdict", "words"),
    [
        (SHOWS, arms(direct=14.0), PASS, "14.00 [13.00, 15.00] queries, theory 26.0"),
        (SHOWS, arms(direct=11.9), INVALID, "11.90 [10.90, 12.90] queries, theory 26.0"),
        (
            *(SHOWS, arms(direct=13.9), INVALID),
            open_("13.90 [12.90, 14.90] queries, theory 26.0", "the limit 13"),
        ),
        (SHOWS, arms(direct=11, predicted=20), PASS, "11.00 [10.00, 12.00] queries, theory 20.0"),
        (SHOWS, arms(direct=51.0), PASS, "51.00 [50.00, 52.00] queries, theory 26.0"),
        (SHOWS, arms(direct=53.1), INVALID, "53.10 [52.10, 54.10] queries, theory 26.0"),
        (
            *(SHOWS, arms(direct=52.0), INVALID),
            open_("52.00 [51.00, 53.00] queries, theory 26.0", "the limit 52"),
        ),
        (SHOWS, arms(direct=19, predicted=19.9), INVALID, "theory expects 19.9: too small to show"),
        (SHOWS, arms(direct=math.nan), INVALID, "no data"),
        (SHOWS, arms(direct=26, predicted=math.nan), INVALID, "no data"),
        (SHOWS, arms(direct=math.nan, predicted=1), INVALID, "no data"),
        (REACHES, arms(direct=6), PASS, "6.00 [5.00, 7.00] queries"),
        (REACHES, arms(direct=3.9), INVALID, "3.90 [2.90, 4.90] queries"),
        (REACHES, arms(direct=4), INVALID, open_("4.00 [3.00, 5.00] queries", "the limit 5")),
        (REACHES, facts(direct=5), PASS, "5.00 [5.00, 5.00] queries"),
        (REACHES, facts(direct=4.9), INVALID, "4.90 [4.90, 4.90] queries"),
        (REACHES, arms(direct=math.nan), INVALID, "no data"),
        (BOTH, arms(direct=6, predicted=8), PASS, "6.00 [5.00, 7.00] queries, theory 8.0"),
        (BOTH, arms(direct=3.5, predicted=8), INVALID, "3.50 [2.50, 4.50] queries, theory 8.0"),
        (
            *(BOTH, arms(direct=6, predicted=11), INVALID),
            open_("6.00 [5.00, 7.00] queries, theory 11.0", "the limit 5.5"),
        ),
        (
            *(SHOWS, arms(direct=53.0), INVALID),
            open_("53.00 [52.00, 54.00] queries, theory 26.0", "the limit 52"),
        ),
        (
            ANY_SHARE,
            facts(direct=0.5, predicted=0.5),
            PASS,
            "0.50 [0.50, 0.50] queries, theory 0.5",
        ),
        (NARROW, arms(direct=6), INVALID, open_("6.00 [5.00, 7.00] queries", "the limit 6")),
        (WITHIN, arms(direct=9), PASS, "9.00 [8.00, 10.00] queries"),
        (WITHIN, arms(direct=9.1), INVALID, open_("9.10 [8.10, 10.10] queries", "the limit 10")),
        (WITHIN, arms(direct=11.1), INVALID, "11.10 [10.10, 12.10] queries"),
        (NO_MORE, arms(direct=9, predicted=8), PASS, "9.00 [8.00, 10.00] queries, theory 8.0"),
        (
            NO_MORE,
            arms(direct=12, predicted=8),
            INVALID,
            "12.00 [11.00, 13.00] queries, theory 8.0",
        ),
        (NO_MORE, arms(direct=6, predicted=2), INVALID, "6.00 [5.00, 7.00] queries, theory 2.0"),
        (LIMIT, arms(lock=0.5), PASS, "0.50 [-0.50, 1.50] queries"),
        (LIMIT, arms(lock=0.6), INVALID, open_("0.60 [-0.40, 1.60] queries", "the limit 1.5")),
        (LIMIT, arms(lock=2.5), INVALID, open_("2.50 [1.50, 3.50] queries", "the limit 1.5")),
        (LIMIT, arms(lock=2.6), FAIL, "2.60 [1.60, 3.60] queries"),
        (LIMIT, unbounded(lock=1), INVALID, open_("1.00 [–, –] queries", "the limit 1.5")),
        (LIMIT, facts(lock=1.5), PASS, "1.50 [1.50, 1.50] queries"),
        (LIMIT, facts(lock=1.6), FAIL, "1.60 [1.60, 1.60] queries"),
        (LIMIT, worst(lock=1.5), PASS, "1.50 [0.00, 1.50] queries"),
        (LIMIT, worst(lock=1.6), FAIL, "1.60 [0.00, 1.60] queries"),
        (LIMIT, arms(lock=math.nan), INVALID, "no data"),
        (LIMIT, arms(lock=math.inf), INVALID, "no data"),
        (LEAST, arms(lock=2.5), PASS, "2.50 [1.50, 3.50] queries"),
        (LEAST, arms(lock=2.4), INVALID, open_("2.40 [1.40, 3.40] queries", "the limit 1.5")),
        (LEAST, arms(lock=0.5), INVALID, open_("0.50 [-0.50, 1.50] queries", "the limit 1.5")),
        (LEAST, arms(lock=0.4), FAIL, "0.40 [-0.60, 1.40] queries"),
        (LEAST, facts(lock=1.5), PASS, "1.50 [1.50, 1.50] queries"),
        (LEAST, facts(lock=1.4), FAIL, "1.40 [1.40, 1.40] queries"),
        (LEAST, arms(lock=math.nan), INVALID, "no data"),
        (LAW, arms(xfetch=9, predicted=8), PASS, "9.00 [8.00, 10.00] queries, theory 8.00"),
        (
            *(LAW, arms(xfetch=9.1, predicted=8), INVALID),
            open_("9.10 [8.10, 10.10] queries, theory 8.00", "a limit of theory ± 25%"),
        ),
        (LAW, arms(xfetch=11.1, predicted=8), FAIL, "11.10 [10.10, 12.10] queries, theory 8.00"),
        (
            *(LAW, arms(xfetch=11, predicted=8), INVALID),
            open_("11.00 [10.00, 12.00] queries, theory 8.00", "a limit of theory ± 25%"),
        ),
        (
            *(LAW, arms(xfetch=5, predicted=8), INVALID),
            open_("5.00 [4.00, 6.00] queries, theory 8.00", "a limit of theory ± 25%"),
        ),
        (LAW, arms(xfetch=7, predicted=8), PASS, "7.00 [6.00, 8.00] queries, theory 8.00"),
        (
            *(LAW, arms(xfetch=6.9, predicted=8), INVALID),
            open_("6.90 [5.90, 7.90] queries, theory 8.00", "a limit of theory ± 25%"),
        ),
        (LAW, arms(xfetch=4.9, predicted=8), FAIL, "4.90 [3.90, 5.90] queries, theory 8.00"),
        (LAW, facts(xfetch=0.5, predicted=0.5), PASS, "0.50 [0.50, 0.50] queries, theory 0.50"),
        (LAW, arms(xfetch=0, predicted=0), INVALID, "no data"),
        (LAW, arms(xfetch=2.72, predicted=math.nan), INVALID, "no data"),
        (LAW, arms(xfetch=math.nan, predicted=2.72), INVALID, "no data"),
        (
            *(FEWER, arms(lock=11.8, direct=26), PASS),
            "11.80 [10.80, 12.80] queries, direct 26.00 [25.00, 27.00]",
        ),
        (
            *(FEWER, arms(lock=12, direct=26), INVALID),
            open_("12.00 [11.00, 13.00] queries, direct 26.00 [25.00, 27.00]", "0.5 × direct's"),
        ),
        (
            *(FEWER, arms(lock=14.2, direct=26), FAIL),
            "14.20 [13.20, 15.20] queries, direct 26.00 [25.00, 27.00]",
        ),
        (
            *(FEWER, arms(lock=14, direct=26), INVALID),
            open_("14.00 [13.00, 15.00] queries, direct 26.00 [25.00, 27.00]", "0.5 × direct's"),
        ),
        (
            *(FEWER, facts(lock=4, direct=26), PASS),
            "4.00 [1.09, 10.24] queries, direct 26.00 [16.98, 38.10]",
        ),
        (
            *(FEWER, facts(lock=13, direct=26), INVALID),
            open_("13.00 [6.92, 22.23] queries, direct 26.00 [16.98, 38.10]", "0.5 × direct's"),
        ),
        (
            *(FEWER, facts(lock=20, direct=10), FAIL),
            "20.00 [12.22, 30.89] queries, direct 10.00 [4.80, 18.39]",
        ),
        (
            *(FEWER, {**facts(lock=54), **between(direct=(26, 26, 26))}, PASS),
            "54.00 [40.57, 70.46] queries, direct 26.00 [26.00, 26.00]",
        ),
        (
            *(FEWER, worst(lock=13, direct=26), PASS),
            "13.00 [0.00, 13.00] queries, direct 26.00 [0.00, 26.00]",
        ),
        (
            *(FEWER, worst(lock=13.1, direct=26), FAIL),
            "13.10 [0.00, 13.10] queries, direct 26.00 [0.00, 26.00]",
        ),
        (
            *(FEWER, arms(lock=14.05, direct=26), INVALID),
            open_("14.05 [13.05, 15.05] queries, direct 26.00 [25.00, 27.00]", "0.5 × direct's"),
        ),
        (
            *(FEWER, between(lock=(13, 13, 13), direct=(26, 26, 27)), PASS),
            "13.00 [13.00, 13.00] queries, direct 26.00 [26.00, 27.00]",
        ),
        (
            *(FEWER, between(lock=(13, 13, 13), direct=(26, 25, 26)), INVALID),
            open_("13.00 [13.00, 13.00] queries, direct 26.00 [25.00, 26.00]", "0.5 × direct's"),
        ),
        (FEWER, arms(lock=math.nan, direct=26), INVALID, "no data"),
        (FEWER, arms(lock=1, direct=math.nan), INVALID, "no data"),
        (NONE, arms(direct=0, lock=0), PASS, "0 queries"),
        (NONE, arms(direct=0, lock=1), FAIL, "lock 1"),
        (NONE, arms(direct=2, lock=1), FAIL, "direct 2, lock 1"),
        (NONE, arms(direct=0, lock=math.nan), INVALID, "no data"),
        (NONE, {}, INVALID, "no data"),
        (NONE_BUT, arms(direct=2, lock=0), PASS, "0 queries"),
        (NONE_BUT, arms(direct=math.nan, lock=0), PASS, "0 queries"),
        (NONE_BUT, arms(direct=0, lock=1), FAIL, "lock 1"),
        (NONE_BUT, arms(direct=0), INVALID, "no data"),
        (NONE_BUT_TWO, arms(direct=9, lock=9, swr=0), PASS, "0 queries"),
        (NONE_BUT_TWO, arms(direct=9, lock=9, swr=1), FAIL, "swr 1"),
    ],
)
def test_a_claim_passes_fails_or_has_no_data(
    claim: Callable[[], Claim], seen: dict[str, ArmResult], verdict: Verdict, words: str
) -> None:
    assert claim().check(seen) == (verdict, words)


def test_a_mean_is_compared_as_it_is_and_a_sum_by_its_repetitions() -> None:
    fewer = claims.fewer_than("lock", "direct", WAIT)
    means, sums = between(lock=(13, 13, 13), direct=(14, 14, 14)), facts(lock=13, direct=14)
    for rows, verdict in ((means, PASS), (sums, FAIL)):
        beside = replace(rows["direct"].measures[WAIT.name], samples=60)
        rows["direct"] = replace(rows["direct"], measures={WAIT.name: beside})
        assert fewer.check(rows)[0] is verdict
    assert fewer.text == "lock: mean wait ≤ 1 × direct's"


def test_only_the_naive_arms_claim_is_that_there_is_a_failure() -> None:
    assert SHOWS().is_failure is True
    assert not any(claim().is_failure for claim in (LIMIT, LEAST, LAW, FEWER, NONE))


CUT_LIMIT = "≥ 2.50 [1.50, 3.50] queries"


@pytest.mark.parametrize(
    ("claim", "seen", "verdict", "words"),
    [
        (LIMIT, censored("lock", lock=0.4), INVALID, "≥ 0.40 [-0.60, 1.40] queries"),
        (LIMIT, censored("lock", lock=2.5), INVALID, CUT_LIMIT),
        (LIMIT, censored("lock", lock=2.6), FAIL, "≥ 2.60 [1.60, 3.60] queries"),
        (LEAST, censored("lock", lock=2.5), PASS, CUT_LIMIT),
        (LEAST, censored("lock", lock=0.4), INVALID, "≥ 0.40 [-0.60, 1.40] queries"),
        (REACHES, censored("direct", direct=6), PASS, "≥ 6.00 [5.00, 7.00] queries"),
        (
            *(REACHES, censored("direct", direct=3), INVALID),
            open_("≥ 3.00 [2.00, 4.00] queries", "the limit 5"),
        ),
        (LAW, censored("xfetch", xfetch=4, predicted=4), INVALID, "no data"),
        (FEWER, censored("lock", lock=1, direct=26), INVALID, "no data"),
        (
            *(FEWER, censored("direct", lock=1, direct=26), PASS),
            "1.00 [0.00, 2.00] queries, direct ≥ 26.00 [25.00, 27.00]",
        ),
        (FEWER, censored("direct", lock=14, direct=26), INVALID, "no data"),
        (NONE, censored("lock", direct=0, lock=0), FAIL, "lock ≥ 0"),
    ],
)
def test_what_was_still_unknown_when_the_segment_ended_is_never_taken_for_the_better(
    claim: Callable[[], Claim], seen: dict[str, ArmResult], verdict: Verdict, words: str
) -> None:
    assert claim().check(seen) == (verdict, words)


@pytest.mark.parametrize(
    ("claim", "arms", "text", "full_only"),
    [
        (SHOWS, ("direct",), "direct shows the failure: mean wait ≥ 0.5 × theory", False),
        (REACHES, ("direct",), "direct shows the failure: mean wait ≥ 5 queries", False),
        (
            *(BOTH, ("direct",)),
            "direct shows the failure: mean wait ≥ 5 queries and ≥ 0.5 × theory",
            False,
        ),
        (
            *(WITHIN, ("direct",)),
            "direct shows the failure: mean wait ≥ 5 queries and ≤ 10 queries",
            False,
        ),
        (LIMIT, ("lock",), "lock: mean wait ≤ 1.5 queries", False),
        (LEAST, ("lock",), "lock: mean wait ≥ 1.5 queries", False),
        (LAW, ("xfetch",), "xfetch: mean wait within 25% of its law", True),
        (
            *(partial(claims.follows_law, "xfetch", WAIT, within=0.25), ("xfetch",)),
            "xfetch: mean wait within 25% of its law",
            False,
        ),
        (FEWER, ("lock", "direct"), "lock: mean wait ≤ 0.5 × direct's", False),
        (NONE, (), "no arm has any mean wait", False),
        (NONE_BUT, (), "no arm has any mean wait, but for direct", False),
        (NONE_BUT_TWO, (), "no arm has any mean wait, but for direct, lock", False),
    ],
)
def test_a_claim_says_what_it_claims_of_whom_and_by_what(
    claim: Callable[[], Claim], arms: tuple[str, ...], text: str, full_only: bool
) -> None:
    made = claim()
    assert (made.arms, made.text, made.full_only) == (arms, text, full_only)
    assert made.measures == (WAIT,)


def test_a_claim_without_arms_is_about_all_but_those_it_names() -> None:
    names = ["direct", "lock", "swr"]
    assert NONE().arms_of(names) == ("direct", "lock", "swr")
    assert NONE_BUT().arms_of(names) == ("lock", "swr")
    assert NONE_BUT_TWO().arms_of(names) == ("swr",)
    assert FEWER().arms_of(names) == ("lock", "direct")


def test_an_estimate_of_no_samples_is_no_figure() -> None:
    assert not Estimate(1.0, 1.0, 1.0, 0, "mean95").known


def test_sums_of_arms_with_different_numbers_of_rounds_are_compared_per_round() -> None:
    rows = facts(lock=10, direct=26)
    seen = replace(rows["lock"].measures[WAIT.name], samples=12)
    rows["lock"] = replace(rows["lock"], measures={WAIT.name: seen})
    assert FEWER().check(rows)[0] is PASS


def test_sums_that_chance_may_have_set_apart_are_undecided_and_say_by_how_much() -> None:
    fewer = claims.fewer_than("lock", "direct", WAIT)
    for lock, direct, verdict in ((25, 37, INVALID), (25, 250, PASS), (250, 25, FAIL)):
        assert fewer.check(facts(lock=lock, direct=direct))[0] is verdict
    words = fewer.check(facts(lock=25, direct=37))[1]
    assert words == open_(
        "25.00 [16.18, 36.90] queries, direct 37.00 [26.05, 51.00]", "1 × direct's"
    )


def test_a_finding_is_inconclusive_by_what_it_says_and_only_if_it_is_open() -> None:
    words = open_("1.00 [0.00, 2.00]", "the limit 1.5")
    assert Finding("", INVALID, words).inconclusive
    assert not Finding("", PASS, words).inconclusive
    assert not Finding("", INVALID, "no data").inconclusive
