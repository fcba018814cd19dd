"""The verdict: a pure function from an experiment and the evidence of one run to its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from chaos.checks import RUN_CHECKS, Check
from chaos.model import (
    Arm,
    ArmResult,
    Claim,
    Estimate,
    Evidence,
    Experiment,
    Finding,
    Generator,
    Measure,
    Predicted,
    Result,
    Segment,
    Verdict,
)
from chaos.predictions import herd_inputs


def judge(experiment: Experiment, evidence: Evidence) -> Result:
    """Work out every measure, prediction, claim and check; the worst of them is the verdict."""
    of_arm = {
        arm.name: [segment for segment in evidence.segments if segment.arm == arm.name]
        for arm in experiment.arms
        if arm.name in evidence.plan["arms"]
    }
    rows = {
        arm.name: _row(experiment, arm, of_arm[arm.name])
        for arm in experiment.arms
        if arm.name in of_arm
    }
    claims = [
        _claimed(claim, rows)
        for claim in experiment.claims
        if (claim.arm in (None, experiment.naive.name) or claim.arm in rows)
        and (evidence.mode.name == "full" or not claim.full_only)
    ]
    checks = [_checked(check, evidence) for check in RUN_CHECKS]
    return Result(
        experiment=experiment.name,
        verdict=Verdict.worst([finding.verdict for finding in [*claims, *checks]]),
        arms=[_with_verdict(row, claims) for row in rows.values()],
        claims=claims,
        checks=checks,
        faults=evidence.faults,
        generator=Generator.together([segment.generator for segment in evidence.segments]),
        clicks=evidence.clicks,
        trouble=evidence.trouble,
    )


def _row(experiment: Experiment, arm: Arm, segments: Sequence[Segment]) -> ArmResult:
    return ArmResult(
        name=arm.name,
        naive=arm.naive,
        verdict=Verdict.INVALID,
        measures={m.name: _estimate(m, segments) for m in experiment.measures},
        predictions={
            name: Predicted(p.of(segments), p.formula, p.source, p.bound)
            for name, p in arm.predictions.items()
        },
        inputs=herd_inputs(segments),
    )


def _estimate(measure: Measure, segments: Sequence[Segment]) -> Estimate:
    figures = [measure.of(segment) for segment in segments]
    return measure.summary(np.concatenate(figures) if figures else np.array([]))


def _with_verdict(row: ArmResult, claims: Sequence[Finding]) -> ArmResult:
    """An arm's verdict is the worst of the claims about it; without one it proved nothing."""
    own = [claim.verdict for claim in claims if claim.arm == row.name]
    return replace(row, verdict=Verdict.worst(own))


def _claimed(claim: Claim, rows: Mapping[str, ArmResult]) -> Finding:
    try:
        verdict, observed = claim.check(rows)
    except Exception as error:
        verdict, observed = Verdict.INVALID, f"the check crashed: {error!r}"
    return Finding(claim.text, verdict, observed, claim.arm)


def _checked(check: Check, evidence: Evidence) -> Finding:
    try:
        return check(evidence)
    except Exception as error:
        return Finding(check.__name__, Verdict.INVALID, f"the check crashed: {error!r}")
