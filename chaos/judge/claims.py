"""Claims of an experiment about its arms: PASS, FAIL or INVALID, with the figures.

A claim is decided where the whole interval of its figure lies on one side of the limit. Between, it
is *inconclusive*: the run adds rounds (`chaos.judge.doubt`), and is INVALID if those do not decide.
Facts of the run, such as a sum of losses, have no interval and are judged as they are, but for a
comparison of two arms, where chance has a part in each sum.
docs/coverage.md has the measured share of wrong decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from chaos.model.evidence import INCONCLUSIVE, Estimate, Evidence, Predicted, Verdict
from chaos.model.experiment import Claim, Experiment, Measure, Rows

NO_DATA = Verdict.INVALID, "no data"
Ends = tuple[float, float]


def shows(
    arm: str,
    measure: Measure,
    *,
    at_least: float = 0.0,
    at_most: float = math.inf,
    share_of_prediction: float = 0.0,
    prediction_at_least: float = 0.0,
) -> Claim:
    """The naive arm must show the failure, or the run tested nothing: INVALID, not FAIL.

    The whole of its interval must reach `at_least`, or a share of what theory predicts, and be no
    further above it, nor above `at_most`: then it is another failure. INVALID, too, where theory
    predicts less than `prediction_at_least`.
    """

    def check(rows: Rows) -> tuple[Verdict, str]:
        seen = rows[arm].measures[measure.name]
        limit, most, theory = at_least, at_most, ""
        if share_of_prediction:
            predicted = rows[arm].predictions[measure.name]
            if not seen.known or not predicted.value >= prediction_at_least:
                return Verdict.INVALID, _too_small(seen, predicted)
            limit = max(limit, share_of_prediction * predicted.value)
            most = min(most, predicted.value / share_of_prediction)
            theory = f", theory {predicted.value:.1f}"
        if not seen.known:
            return NO_DATA
        observed = figure(seen, measure) + theory
        low, high = _ends(seen)
        if limit <= low and high <= most:
            return Verdict.PASS, observed
        if (high < limit and not seen.at_least) or low > most:
            return Verdict.INVALID, observed
        return _inconclusive(observed, f"the limit {limit if low < limit else most:g}")

    limits = [f"≥ {at_least:g} {measure.unit}"] * bool(at_least)
    limits += [f"≥ {share_of_prediction:g} × theory"] * bool(share_of_prediction)
    limits += [f"≤ {at_most:g} {measure.unit}"] * (at_most < math.inf)
    text = f"{arm} shows the failure: {measure.title} {' and '.join(limits)}"
    return Claim(text, (arm,), (measure,), check, is_failure=True)


def _too_small(seen: Estimate, predicted: Predicted) -> str:
    if not seen.known or math.isnan(predicted.value):
        return "no data"
    return f"theory expects {predicted.value:.1f}: too small to show"


def at_most(arm: str, measure: Measure, limit: float) -> Claim:
    """An arm's figure is within a limit."""

    def holds(seen: Estimate) -> Verdict | None:
        low, high = _ends(seen)
        if low > limit:
            return Verdict.FAIL
        if seen.at_least:
            return Verdict.INVALID  # the segment ended before the figure was known
        return Verdict.PASS if high <= limit else None

    return _of_one(f"{arm}: {measure.title} ≤ {limit:g} {measure.unit}", arm, measure, limit, holds)


def at_least(arm: str, measure: Measure, limit: float) -> Claim:
    """An arm's figure reaches a limit."""

    def holds(seen: Estimate) -> Verdict | None:
        low, high = _ends(seen)
        if low >= limit:
            return Verdict.PASS
        if seen.at_least:
            return Verdict.INVALID  # it may have come to reach it
        return Verdict.FAIL if high < limit else None

    return _of_one(f"{arm}: {measure.title} ≥ {limit:g} {measure.unit}", arm, measure, limit, holds)


def _of_one(
    text: str, arm: str, measure: Measure, limit: float, holds: Callable[[Estimate], Verdict | None]
) -> Claim:
    def check(rows: Rows) -> tuple[Verdict, str]:
        seen = rows[arm].measures[measure.name]
        if not seen.known:
            return NO_DATA
        observed, verdict = figure(seen, measure), holds(seen)
        return (verdict, observed) if verdict else _inconclusive(observed, f"the limit {limit:g}")

    return Claim(text, (arm,), (measure,), check)


def _ends(seen: Estimate) -> Ends:
    """The ends of an interval; a fact of the run has none but itself."""
    return (seen.value, seen.value) if seen.is_fact else (seen.low, seen.high)


def _inconclusive(observed: str, limit: str) -> tuple[Verdict, str]:
    words = f"{INCONCLUSIVE}: {observed} spans {limit}; more rounds would decide"
    return Verdict.INVALID, words


def none(measure: Measure, *, but: str | tuple[str, ...] = ()) -> Claim:
    """No arm has any, but for those named; each must have been measured."""
    others = (but,) if isinstance(but, str) else but

    def check(rows: Rows) -> tuple[Verdict, str]:
        seen = {n: row.measures[measure.name] for n, row in rows.items() if n not in others}
        if not seen or not all(estimate.known for estimate in seen.values()):
            return NO_DATA
        some = {
            name: f"≥ {e.value:g}" if e.at_least else f"{e.value:g}"
            for name, e in seen.items()
            if e.value > 0 or e.at_least
        }
        return Verdict.of(not some), listed(some) or f"0 {measure.unit}"

    text = f"no arm has any {measure.title}" + f", but for {', '.join(others)}" * bool(others)
    return Claim(text, (), (measure,), check, but=others)


def follows_law(arm: str, measure: Measure, *, within: float, full_only: bool = False) -> Claim:
    """An arm's figure is within a share of what theory predicts."""

    def check(rows: Rows) -> tuple[Verdict, str]:
        seen, predicted = rows[arm].measures[measure.name], rows[arm].predictions[measure.name]
        if not seen.known or seen.at_least or not predicted.value > 0:
            return NO_DATA
        observed = f"{figure(seen, measure)}, theory {predicted.value:.2f}"
        low, high = (end - predicted.value for end in _ends(seen))
        apart = within * predicted.value
        if -apart <= low and high <= apart:
            return Verdict.PASS, observed
        if low > apart or high < -apart:
            return Verdict.FAIL, observed
        return _inconclusive(observed, f"a limit of theory ± {within:.0%}")

    text = f"{arm}: {measure.title} within {within:.0%} of its law"
    return Claim(text, (arm,), (measure,), check, full_only=full_only)


def fewer_than(arm: str, other: str, measure: Measure, *, share: float = 1.0) -> Claim:
    """An arm's figure is at most a share of another arm's.

    Sums are compared per repetition: one arm may have had more rounds than the other. Each has the
    interval of its chance, since another run would give another sum.
    """

    def check(rows: Rows) -> tuple[Verdict, str]:
        seen, beside = (_compared(rows[name].measures[measure.name]) for name in (arm, other))
        if not seen.known or not beside.known or seen.at_least:
            return NO_DATA
        observed = f"{figure(seen, measure)}, {other} {figure(beside)}"
        low, high = _difference(_each(seen), _each(beside), share)
        if high <= 0:
            return Verdict.PASS, observed
        if beside.at_least:
            return NO_DATA
        if low > 0:
            return Verdict.FAIL, observed
        return _inconclusive(observed, f"{share:g} × {other}'s")

    text = f"{arm}: {measure.title} ≤ {share:g} × {other}'s"
    return Claim(text, (arm, other), (measure,), check)


def _compared(seen: Estimate) -> Estimate:
    """An estimate as it is compared with another arm's: a sum with the interval of its chance."""
    if seen.interval != "exact":
        return seen
    return replace(seen, low=seen.chance_low, high=seen.chance_high)


def _each(seen: Estimate) -> Estimate:
    """An estimate for one repetition, with the ends that it is judged by."""
    is_sum = seen.interval == "exact"
    low, high = (seen.low, seen.high) if is_sum else _ends(seen)
    count = seen.samples if is_sum else 1
    return replace(seen, value=seen.value / count, low=low / count, high=high / count)


def _difference(one: Estimate, other: Estimate, share: float) -> Ends:
    """The interval of one figure less a share of another, from the intervals of both.

    G. Zou, A. Donner: Construction of confidence limits about effect measures, Statistics in
    Medicine 27, 2008 (MOVER).
    """
    apart = one.value - share * other.value
    below = math.hypot(one.value - one.low, share * (other.high - other.value))
    above = math.hypot(one.high - one.value, share * (other.value - other.low))
    return apart - below, apart + above


def asked(experiment: Experiment, evidence: Evidence) -> tuple[list[Claim], list[Claim]]:
    """The claims that this run can judge, and those that it cannot since an arm was left out.

    One about every arm but some needs one that ran. In quick mode a claim for full mode, or about
    an arm that only full mode has, is neither.
    """
    fixed = {arm.name for arm in experiment.arms if not arm.naive}
    left_out = fixed - set(evidence.plan["arms"])
    usual = {arm.name for arm in experiment.arms_in(evidence.mode)}
    due = [
        claim
        for claim in experiment.claims
        if (evidence.mode.name == "full" or not claim.full_only)
        and not (left_out - usual) & set(claim.arms)
    ]
    unseen = [
        claim
        for claim in due
        if left_out & set(claim.arms or claim.arms_of(fixed))
        and (claim.arms or not claim.arms_of(evidence.plan["arms"]))
    ]
    return [claim for claim in due if claim not in unseen], unseen


def figure(estimate: Estimate, measure: Measure | None = None) -> str:
    """A figure with its interval, and its unit if a measure is given; a dash for no end."""
    more = "≥ " if estimate.at_least else ""
    unit = f" {measure.unit}" if measure else ""
    low, high = (
        f"{end:.2f}" if math.isfinite(end) else "–" for end in (estimate.low, estimate.high)
    )
    return f"{more}{estimate.value:.2f} [{low}, {high}]{unit}"


def listed(values: Mapping[str, object]) -> str:
    """Join names with their values."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
