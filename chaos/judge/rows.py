"""Rows of the table: an arm's measures, predictions and inputs; and claims about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chaos.measures.estimates import with_chance_within
from chaos.model.evidence import (
    ArmResult,
    Estimate,
    Evidence,
    Finding,
    Predicted,
    Segment,
    Verdict,
)
from chaos.model.experiment import Arm, Claim, Experiment, Measure, Rows


def rows_of(experiment: Experiment, evidence: Evidence) -> dict[str, ArmResult]:
    """The rows of all arms of the run, by name; their verdicts are not known yet."""
    return {
        arm.name: row_of(
            experiment, arm, [s for s in evidence.segments if s.arm == arm.name], evidence.mode.tail
        )
        for arm in experiment.arms
        if arm.name in evidence.plan["arms"]
    }


def row_of(experiment: Experiment, arm: Arm, segments: Sequence[Segment], tail: float) -> ArmResult:
    """The row of an arm, from its segments; intervals leave out `tail` on either side."""
    return ArmResult(
        name=arm.name,
        naive=arm.naive,
        verdict=Verdict.INVALID,
        measures={m.name: _estimate(m, segments, tail) for m in experiment.measures},
        predictions={
            name: Predicted(p.of(segments), p.formula, p.source, p.bound)
            for name, p in arm.predictions.items()
        },
        inputs={figure.name: figure.of(segments) for figure in experiment.inputs},
    )


def _estimate(measure: Measure, segments: Sequence[Segment], tail: float) -> Estimate:
    """Summarise all events; a censored figure counts as the time for which it was watched."""
    figures, censored, inside = [np.array([])], False, []
    for segment in segments:
        values = np.asarray(measure.of(segment), dtype=np.float64)
        unknown = np.isposinf(values)
        censored |= bool(unknown.any())
        figures.append(np.where(unknown, measure.censored_at(segment), values))
        if measure.within and np.isfinite(values).all() and len(values):
            inside.append(measure.within(segment, tail))
    all_figures = np.concatenate(figures)
    estimate = measure.summary(all_figures, tail)
    if inside:
        estimate = with_chance_within(estimate, all_figures[np.isfinite(all_figures)], inside)
    return replace(estimate, at_least=True) if censored else estimate


def claimed(claim: Claim, rows: Rows) -> Finding:
    """The verdict on a claim; INVALID if it crashes."""
    try:
        verdict, observed = claim.check(rows)
    except Exception as error:
        verdict, observed = Verdict.INVALID, f"the check crashed: {error!r}"
    return Finding(claim.text, verdict, observed, claim.arms_of(rows))
