"""Verdict: a pure function from an experiment and the evidence of a run to its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from chaos.judge.predictions import herd_inputs
from chaos.judge.record_checks import figures_are_known, ran_as_planned
from chaos.judge.run_checks import RUN_CHECKS
from chaos.model.evidence import (
    ArmResult,
    Estimate,
    Evidence,
    FaultEvidence,
    Finding,
    Generator,
    Predicted,
    Reading,
    Result,
    Segment,
    Verdict,
)
from chaos.model.experiment import Arm, Claim, Experiment, Measure


def judge(experiment: Experiment, evidence: Evidence) -> Result:
    """Work out every measure, prediction, claim and check; the worst of them is the verdict."""
    faults = [_reviewed(fault, experiment) for fault in evidence.faults]
    evidence = replace(evidence, faults=faults)
    rows = {
        arm.name: _row(experiment, arm, [s for s in evidence.segments if s.arm == arm.name])
        for arm in experiment.arms
        if arm.name in evidence.plan["arms"]
    }
    claims = [
        _claimed(claim, rows)
        for claim in experiment.claims
        if (claim.arm in (None, experiment.naive.name) or claim.arm in rows)
        and (evidence.mode.name == "full" or not claim.full_only)
    ]
    checks = [
        *(_checked(check.__name__, partial(check, evidence)) for check in RUN_CHECKS),
        _checked(ran_as_planned.__name__, partial(ran_as_planned, experiment, evidence)),
        _checked(figures_are_known.__name__, partial(figures_are_known, experiment.measures, rows)),
    ]
    return Result(
        experiment=experiment.name,
        verdict=Verdict.worst([finding.verdict for finding in [*claims, *checks]]),
        arms=[_with_verdict(row, claims) for row in rows.values()],
        claims=claims,
        checks=checks,
        faults=evidence.faults,
        generator=_generator(evidence.segments),
        clicks=evidence.clicks,
        trouble=evidence.trouble,
    )


def _reviewed(seen: FaultEvidence, experiment: Experiment) -> FaultEvidence:
    """Prove a fault by its three readings, whatever the run concluded from them."""
    before, during, after = seen.before, seen.during, seen.after
    known = [at.fault for at in experiment.faults if at.fault.name == seen.fault]
    if not known or not before or not during or not after or not _alike(before, during, after):
        return replace(seen, took_effect=False, healed=False)
    return replace(
        seen,
        took_effect=seen.took_effect and known[0].took_effect(before, during),
        healed=seen.healed and known[0].healed(before, after),
    )


def _alike(*readings: Reading) -> bool:
    """True if all readings are of one query and unit, and none is negative."""
    return len({(r.what, r.unit) for r in readings}) == 1 and all(r.value >= 0 for r in readings)


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
    """Give an arm the worst verdict of its claims; without claims it is INVALID."""
    own = [claim.verdict for claim in claims if claim.arm == row.name]
    return replace(row, verdict=Verdict.worst(own))


def _claimed(claim: Claim, rows: Mapping[str, ArmResult]) -> Finding:
    try:
        verdict, observed = claim.check(rows)
    except Exception as error:
        verdict, observed = Verdict.INVALID, f"the check crashed: {error!r}"
    return Finding(claim.text, verdict, observed, claim.arm)


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        return Finding(name, Verdict.INVALID, f"the check crashed: {error!r}")


def _generator(segments: Sequence[Segment]) -> Generator:
    """The generator's own figures over all segments; the lags are those on record."""
    return replace(
        Generator.together([segment.generator for segment in segments]),
        lag_p50_ms=_worst_lag_ms(segments, 50),
        lag_p99_ms=_worst_lag_ms(segments, 99),
    )


def _worst_lag_ms(segments: Sequence[Segment], percentile: float) -> float:
    lags_s = [s.requests.sent_s - s.requests.intended_s for s in segments if len(s.requests)]
    return max((float(np.percentile(lag, percentile)) * 1000 for lag in lags_s), default=math.nan)
