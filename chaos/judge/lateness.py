"""Lateness of the generator by its effect: would a claim be decided otherwise without it?

A request that left late met another moment than it was due at, and its latency counts its delay.
Every claim is judged again under the worst that this could mean; where it is judged alike, late
requests decide nothing. How late an answer was *read* is no part of any figure: it counts from when
the kernel had it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from chaos.judge.claims import asked
from chaos.judge.record_checks import ROUNDING_S, inside_requests
from chaos.judge.rows import claimed, row_of, rows_of
from chaos.model.evidence import (
    LATE_S,
    ArmResult,
    Evidence,
    Finding,
    Floats,
    Ints,
    Requests,
    Segment,
    Verdict,
)
from chaos.model.experiment import Claim, Experiment, Rows

BUSY_SHARE = 0.9  # of a core; a process of one thread cannot do more than all of it
MOSTLY = 0.5  # of an arm's requests; with more late ones it had another traffic than planned
READS = ("follow", "stats")

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class LateArm:
    """An arm with late requests."""

    late: int
    sent: int
    worst_s: float

    def __str__(self) -> str:
        return f"{self.late} of {self.sent} late, by {self.worst_s * 1000:.0f} ms at most"


@dataclass(frozen=True)
class Flip:
    """A claim that is decided otherwise without what was late, with both figures."""

    claim: str
    observed: str
    arms: tuple[str, ...]


@dataclass(frozen=True)
class Lateness:
    """What was late in each arm, and the claims that it decides."""

    arms: Mapping[str, LateArm]
    flips: Sequence[Flip]
    trouble: str = ""  # why its effect is not known

    @property
    def disturbed(self) -> frozenset[str]:
        """The arms whose late requests decide a claim."""
        return frozenset(arm for flip in self.flips for arm in flip.arms)

    def on(self, finding: Finding) -> Finding:
        """The finding of a claim: INVALID if what was late decides it."""
        for flip in self.flips:
            if flip.claim == finding.text:
                return replace(finding, verdict=Verdict.INVALID, observed=flip.observed)
        return finding


def disturbed(experiment: Experiment, evidence: Evidence) -> frozenset[str]:
    """The arms of a run whose late requests decide a claim: further rounds may help."""
    return weighed(experiment, evidence, rows_of(experiment, evidence)).disturbed


def weighed(experiment: Experiment, evidence: Evidence, rows: Rows) -> Lateness:
    """Judge every claim again as if late requests had been otherwise; `rows` are as they were."""
    arms: dict[str, LateArm] = {}
    try:
        own = {arm: [s for s in evidence.segments if s.arm == arm] for arm in rows}
        arms = {arm: late for arm, parts in own.items() if (late := _late_arm(parts)).late}
        due, _ = asked(experiment, evidence)
        flips: list[Flip] = []
        for how, otherwise in WORST.items():
            others = {
                arm: _row_otherwise(
                    experiment, due, rows[arm], own[arm], otherwise, evidence.mode.tail
                )
                for arm in arms
            }
            decided = {flip.claim for flip in flips}
            flips += (
                flip
                for claim in due
                if claim.text not in decided
                for flip in _flips(claim, rows, others, how)
            )
    except Exception as error:
        return Lateness(arms, [], f"its effect is not known: {error!r}")
    return Lateness(arms, flips)


def _flips(claim: Claim, rows: Rows, others: Rows, how: str) -> Iterator[Flip]:
    """The claim, if it is decided otherwise with other rows: each of them alone, or all."""
    arms = [arm for arm in claim.arms_of(rows) if arm in others]
    plain = claimed(claim, rows)
    for chosen in [*([arm] for arm in arms), *([arms] if len(arms) > 1 else [])]:
        seen = claimed(claim, {**rows, **{arm: others[arm] for arm in chosen}})
        if seen.verdict != plain.verdict:
            observed = f"{plain.observed} ({plain.verdict}), but {seen.observed} {how}"
            yield Flip(claim.text, f"{observed} ({seen.verdict})", tuple(chosen))
            return


def _row_otherwise(
    experiment: Experiment,
    due: Sequence[Claim],
    row: ArmResult,
    segments: Sequence[Segment],
    otherwise: Callable[[Segment, Bools], Segment],
    tail: float,
) -> ArmResult:
    """An arm's row with other segments; what no claim is about stays as it was."""
    judged = {measure.name for claim in due for measure in claim.measures}
    measures = [measure for measure in experiment.measures if measure.name in judged]
    changed = [
        otherwise(segment, late) if (late := _late(segment.requests)).any() else segment
        for segment in segments
    ]
    again = row_of(replace(experiment, measures=measures), experiment.arm(row.name), changed, tail)
    return replace(again, measures={**row.measures, **again.measures})


# --- what was late -----------------------------------------------------------------------------


def _lag_s(requests: Requests) -> Floats:
    return np.asarray(requests.sent_s - requests.intended_s)


def _late(requests: Requests) -> Bools:
    return np.asarray(_lag_s(requests) > LATE_S + ROUNDING_S)


def _late_arm(segments: Sequence[Segment]) -> LateArm:
    lags_s = [np.zeros(0), *(_lag_s(segment.requests) for segment in segments)]
    late = sum(int((lag_s > LATE_S + ROUNDING_S).sum()) for lag_s in lags_s)
    worst_s = max((float(lag_s.max()) for lag_s in lags_s if len(lag_s)), default=0.0)
    return LateArm(late, sum(map(len, lags_s)), worst_s)


def _without_late_reads(segment: Segment, late: Bools) -> Segment:
    """Without the reads of which a try was late, nor the look-ups that only those can have made.

    Writes stay: what others read of them would else be impossible.
    """
    requests = segment.requests
    operation = _operation_of_each(requests)
    gone = np.isin(operation, operation[late & np.isin(requests.operation, READS)])
    kept = _rows(requests, np.flatnonzero(~gone))
    theirs = inside_requests(segment.look_ups, _rows(requests, np.flatnonzero(gone)))
    stays = ~theirs | inside_requests(segment.look_ups, kept)
    look_ups = type(segment.look_ups)(
        *(getattr(segment.look_ups, field.name)[stays] for field in fields(segment.look_ups))
    )
    return replace(segment, requests=kept, look_ups=look_ups)


def _operation_of_each(requests: Requests) -> Ints:
    """A number for each request that all tries of its operation share."""
    order = np.lexsort((requests.intended_s, requests.session))
    operation = np.empty(len(order), dtype=np.int64)
    operation[order] = np.cumsum(requests.attempt[order] == 1)
    return operation


def _due_when_sent(segment: Segment, late: Bools) -> Segment:
    """As if late requests had been due when they left."""
    due_s = np.where(late, segment.requests.sent_s, segment.requests.intended_s)
    order = np.argsort(due_s, kind="stable")
    moved = replace(_rows(segment.requests, order), intended_s=due_s[order])
    return replace(segment, requests=moved)


def _rows(requests: Requests, rows: Ints) -> Requests:
    return Requests(**{f.name: getattr(requests, f.name)[rows] for f in fields(Requests)})


WORST: Mapping[str, Callable[[Segment, Bools], Segment]] = {
    "without late reads": _without_late_reads,
    "with late requests due when they left": _due_when_sent,
}


# --- the check ---------------------------------------------------------------------------------


def generator_was_on_time(evidence: Evidence, lateness: Lateness) -> Finding:
    """All requests were sent, most of each arm's in time, and no claim is decided by late ones."""
    arms = evidence.plan["arms"]
    odd = [
        *(f"{flip.claim}: {flip.observed}" for flip in lateness.flips),
        *filter(None, [lateness.trouble, "" if arms else "no arm"]),
        *(why for arm in arms for why in _odd_arm(evidence, lateness, arm)),
    ]
    unsent = [segment.generator.unsent for segment in evidence.segments]
    on_time = not odd and not any(unsent)
    told = [f"{arm} {late}" for arm, late in lateness.arms.items()]
    if told and not odd:
        told.append("no claim depends on it")
    sent = f"{sum(unsent)} unsent" + ("" if on_time else "".join(_exhausted(evidence)))
    observed = "; ".join([*odd, *(told or ["none late"] * (not odd)), sent])
    verdict = Verdict.PASS if on_time else Verdict.INVALID
    text = "the generator was on time as far as claims depend on it"
    return Finding(text, verdict, observed, tuple(sorted(lateness.disturbed)))


def _odd_arm(evidence: Evidence, lateness: Lateness, arm: str) -> Iterator[str]:
    own = [segment for segment in evidence.segments if segment.arm == arm]
    if not sum(segment.generator.sent for segment in own) > 0:
        yield f"{arm} sent nothing"
    if (late := lateness.arms.get(arm)) and late.late > MOSTLY * late.sent:
        yield f"{arm} had another traffic than planned, as most of it was late"
    for segment in own:
        counted, least, most = segment.generator.late, *_late_counts(segment)
        if not least <= counted <= most:
            yield f"{arm}: {counted} late by the generator's count, {least} on record"


def _late_counts(segment: Segment) -> tuple[int, int]:
    """The fewest and the most that the generator should have counted.

    Times on record are rounded, and what found no socket is not on record.
    """
    lag_s = _lag_s(segment.requests)
    least, most = (int((lag_s > LATE_S + sign * ROUNDING_S).sum()) for sign in (1, -1))
    return least, most + segment.generator.no_socket


def _exhausted(evidence: Evidence) -> Iterator[str]:
    """Resources that the generator ran out of."""
    own = [segment.generator for segment in evidence.segments]
    if no_socket := sum(generator.no_socket for generator in own):
        yield f", {no_socket} of them for want of a socket or file descriptor"
    busiest = max((g.cpu_share for g in own if g.cpu_share >= BUSY_SHARE), default=math.nan)
    if not math.isnan(busiest):
        yield f"; the generator's process used {busiest:.0%} of a core"
