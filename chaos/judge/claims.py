"""Claims of an experiment about its arms: PASS, FAIL or INVALID, with the figures."""

from __future__ import annotations

import math
from collections.abc import Mapping

from chaos.model.evidence import (
    ArmResult,
    Estimate,
    Predicted,
    Verdict,
)
from chaos.model.experiment import Claim, Measure

Arms = Mapping[str, ArmResult]


def shows_failure(
    arm: str, measure: Measure, *, share_of_prediction: float, prediction_at_least: float
) -> Claim:
    """The naive arm must show the failure, or the run tested nothing: INVALID, not FAIL.

    INVALID, too, where theory predicts less than `prediction_at_least`.
    """

    def check(arms: Arms) -> tuple[Verdict, str]:
        seen, predicted = arms[arm].measures[measure.name], arms[arm].predictions[measure.name]
        if not seen.known or not predicted.value >= prediction_at_least:
            return Verdict.INVALID, _too_small(seen, predicted)
        shown = seen.value >= share_of_prediction * predicted.value
        observed = f"{_figure(seen)} {measure.unit}, theory {predicted.value:.1f}"
        return (Verdict.PASS if shown else Verdict.INVALID), observed

    text = f"{arm} shows the failure: {measure.title} ≥ {share_of_prediction:g} × theory"
    return Claim(text, arm, check)


def _too_small(seen: Estimate, predicted: Predicted) -> str:
    if not seen.known or math.isnan(predicted.value):
        return "no data"
    return f"theory expects {predicted.value:.1f}: too small to show"


def at_most(arm: str, measure: Measure, limit: float) -> Claim:
    """An arm's figure is within a limit."""

    def check(arms: Arms) -> tuple[Verdict, str]:
        seen = arms[arm].measures[measure.name]
        if not seen.known:
            return Verdict.INVALID, "no data"
        return Verdict.of(seen.value <= limit), f"{_figure(seen)} {measure.unit}"

    return Claim(f"{arm}: {measure.title} ≤ {limit:g}", arm, check)


def follows_law(arm: str, measure: Measure, *, within: float, full_only: bool) -> Claim:
    """An arm's figure is within a share of what theory predicts."""

    def check(arms: Arms) -> tuple[Verdict, str]:
        seen, predicted = arms[arm].measures[measure.name], arms[arm].predictions[measure.name]
        if not seen.known or not predicted.value > 0:
            return Verdict.INVALID, "no data"
        close = abs(seen.value - predicted.value) <= within * predicted.value
        observed = f"{_figure(seen)} {measure.unit}, theory {predicted.value:.2f}"
        return Verdict.of(close), observed

    text = f"{arm}: {measure.title} within {within:.0%} of its law"
    return Claim(text, arm, check, full_only)


def fewer_than(arm: str, other: str, measure: Measure, *, share: float) -> Claim:
    """An arm's figure is at most a share of another arm's."""

    def check(arms: Arms) -> tuple[Verdict, str]:
        seen, beside = arms[arm].measures[measure.name], arms[other].measures[measure.name]
        if not seen.known or not beside.known:
            return Verdict.INVALID, "no data"
        observed = f"{_figure(seen)} {measure.unit}, {other} {_figure(beside)}"
        return Verdict.of(seen.value <= share * beside.value), observed

    return Claim(f"{arm}: {measure.title} ≤ {share:g} × {other}'s", arm, check)


def no_failures(measure: Measure) -> Claim:
    """No arm fails a request; each arm must have sent some."""

    def check(arms: Arms) -> tuple[Verdict, str]:
        seen = {name: arm.measures[measure.name] for name, arm in arms.items()}
        if not seen or not all(estimate.known for estimate in seen.values()):
            return Verdict.INVALID, "no data"
        failing = {name: round(e.value) for name, e in seen.items() if e.value > 0}
        return Verdict.of(not failing), listed(failing) or "0 failed"

    return Claim("no arm fails a request", None, check)


def _figure(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def listed(values: Mapping[str, object]) -> str:
    """Join names with their values."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
