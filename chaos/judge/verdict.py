"""Verdict: a pure function from an experiment and the evidence of a run to its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial

import numpy as np

from chaos.judge.claims import asked
from chaos.judge.lateness import Lateness, generator_was_on_time, weighed
from chaos.judge.record_checks import figures_are_known
from chaos.judge.rows import claimed, rows_of
from chaos.judge.run_checks import RUN_CHECKS
from chaos.model.evidence import (
    ActEvidence,
    ArmResult,
    Evidence,
    Finding,
    Generator,
    Ledger,
    Mode,
    Reading,
    Result,
    Segment,
    Verdict,
)
from chaos.model.experiment import Act, Claim, Experiment, Rows, Timeline


def judge(experiment: Experiment, evidence: Evidence) -> Result:
    """Work out every measure, prediction, claim and check; the worst of them is the verdict."""
    segments, control = (
        [_reviewed(segment, experiment, evidence.mode) for segment in some]
        for some in (evidence.segments, evidence.control)
    )
    evidence = replace(evidence, segments=segments, control=control)
    rows = rows_of(experiment, evidence)
    due, not_asked = asked(experiment, evidence)
    lateness = weighed(experiment, evidence, rows)
    claims = [_undamaged(lateness.on(claimed(claim, rows)), evidence) for claim in due]
    checks = [
        *(_checked(check, experiment, evidence) for check in RUN_CHECKS),
        _checked(generator_was_on_time, evidence, lateness),
        _checked(figures_are_known, experiment.measures, rows),
    ]
    made = [check for check in checks if check is not None]
    verdict_on = partial(_verdict_on, evidence, due, rows, lateness)
    return Result(
        experiment=experiment.name,
        verdict=Verdict.worst([finding.verdict for finding in [*claims, *made]]),
        arms=[replace(row, verdict=verdict_on(row)) for row in rows.values()],
        claims=claims,
        checks=made,
        not_asked=[claim.text for claim in not_asked],
        acts=evidence.acts,
        generator=_generator(evidence.segments),
        ledgers={name: _ledgers([s for s in evidence.segments if s.arm == name]) for name in rows},
        trouble=evidence.trouble,
    )


def _reviewed(segment: Segment, experiment: Experiment, mode: Mode) -> Segment:
    """Prove the segment's acts by their readings, whatever the run concluded from them."""
    arm = next((arm for arm in experiment.arms if arm.name == segment.arm), None)
    planned = experiment.timeline_of(arm) if arm else []
    segment_s = experiment.lasts_s(mode, segment.arm, segment.round)
    return replace(segment, acts=[_proof(act, planned, segment_s) for act in segment.acts])


def _proof(seen: ActEvidence, planned: Timeline, segment_s: float) -> ActEvidence:
    before, during, after = seen.before, seen.during, seen.after
    known = [at for at in planned if at.act.name == seen.act]
    if not known or not before or not during or not after or not _alike(before, during, after):
        return replace(seen, took_effect=False, healed=False)
    act, twice = known[0].act, known[0].probed_again(segment_s) is not None
    return replace(
        seen,
        took_effect=seen.took_effect
        and act.took_effect(before, during)
        and (not twice or _still(act, before, seen.again)),
        healed=seen.healed and act.healed(before, after),
    )


def _still(act: Act, before: Reading, again: Reading | None) -> bool:
    """True if the second probe, too, shows the act."""
    return again is not None and _alike(before, again) and act.took_effect(before, again)


def _alike(*readings: Reading) -> bool:
    """True if all readings are of one query and unit, and none is negative."""
    return len({(r.what, r.unit) for r in readings}) == 1 and all(r.value >= 0 for r in readings)


def _verdict_on(
    evidence: Evidence, claims: Sequence[Claim], rows: Rows, lateness: Lateness, row: ArmResult
) -> Verdict:
    """The worst verdict of the claims about an arm; without any it is INVALID.

    It is, too, where the arm's late requests decide a claim.

    A claim about two arms counts for the first; one about every arm is checked for each alone.
    """
    if row.name in lateness.disturbed:
        return Verdict.INVALID
    own = [lateness.on(claimed(claim, rows)) for claim in claims if claim.arms[:1] == (row.name,)]
    own += [
        claimed(claim, {row.name: row})
        for claim in claims
        if not claim.arms and row.name not in claim.but
    ]
    return Verdict.worst([_undamaged(claim, evidence).verdict for claim in own])


def _undamaged(claim: Finding, evidence: Evidence) -> Finding:
    """A failure is INVALID where the lab itself lost what it may be made of."""
    if claim.verdict is Verdict.FAIL and evidence.damage:
        return replace(claim, verdict=Verdict.INVALID)
    return claim


def _checked(check: Callable[..., Finding | None], *evidence: object) -> Finding | None:
    try:
        return check(*evidence)
    except Exception as error:
        return Finding(check.__name__, Verdict.INVALID, f"the check crashed: {error!r}")


def _ledgers(segments: Sequence[Segment]) -> Mapping[str, Ledger]:
    """The sums of an arm's ledgers, by kind; of a kind that every segment has."""
    books = [segment.ledgers for segment in segments]
    kinds = [kind for kind in (books[0] if books else {}) if all(kind in own for own in books)]
    return {
        kind: Ledger(*(sum(getattr(own[kind], f.name) for own in books) for f in fields(Ledger)))
        for kind in kinds
    }


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
