"""Checks of a run: when one fails, its numbers prove nothing and the run is INVALID.

A check that does not apply to an experiment returns `None`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from chaos.judge import act_checks, record_checks
from chaos.judge.claims import asked, listed
from chaos.measures.recovery import catch_up
from chaos.model.evidence import (
    LATE_SHARE_MAX,
    ActEvidence,
    Evidence,
    Finding,
    Ledger,
    Segment,
    Verdict,
)
from chaos.model.experiment import At, Experiment

BUSY_SHARE = 0.9  # of a core; a process of one thread cannot do more than all of it
LATE_S = 0.010
ROUNDING_S = 2e-6  # times on record have six decimals
ACT_LATE_S = 1.0
Check = Callable[[Experiment, Evidence], Finding | None]


def ran_to_its_end(_: Experiment, evidence: Evidence) -> Finding:
    """Nothing stopped the run: no part died, no signal interrupted it."""
    return _guard("the run came to its end", evidence.trouble is None, evidence.trouble or "it did")


def control_is_healthy(_: Experiment, evidence: Evidence) -> Finding:
    """Without acts, the naive arm answers every request: failures are the acts'."""
    requests = sum(len(segment.requests) for segment in evidence.control)
    failed = sum(int((s.requests.outcome != "ok").sum()) for s in evidence.control)
    observed = f"{requests} requests, {failed} failed"
    return _guard("the control without acts is healthy", requests > 0 and not failed, observed)


# --- acts --------------------------------------------------------------------------------------


def acts_are_proven(experiment: Experiment, evidence: Evidence) -> Finding | None:
    """Every planned act was in force once in every segment for the time planned, moved its probe
    and was gone afterwards; none was in force in the control."""
    planned = [at for arm in experiment.arms for at in experiment.timeline_of(arm)]
    if not planned and not evidence.acts:
        return None
    odd = [*_odd_acts(experiment, evidence)]
    unproven = [act for act in evidence.acts if not act.proven]
    observed = f"{len(evidence.acts) - len(unproven)} of {len(evidence.acts)} acts proven"
    holds = bool(evidence.segments) and not unproven and not odd
    return _guard(
        "every act took effect and was healed", holds, "; ".join([observed, *dict.fromkeys(odd)])
    )


def _odd_acts(experiment: Experiment, evidence: Evidence) -> Iterator[str]:
    for segment in evidence.segments:
        timeline = experiment.timeline_of(experiment.arm(segment.arm))
        for at in timeline:
            if sum(_as_planned(act, at, segment) for act in segment.acts) != 1:
                yield f"{segment.arm}: {at.act.name} was not in force as planned"
        if len(segment.acts) > len(timeline):
            yield f"{segment.arm}: more acts than planned"
        if any((act.arm, act.segment) != (segment.arm, segment.number) for act in segment.acts):
            yield f"{segment.arm}: an act of another segment"
    if any(control.acts for control in evidence.control):
        yield "an act was in force in the control"


def _as_planned(act: ActEvidence, at: At, segment: Segment) -> bool:
    """True if an act began and ended when it should have.

    One at second 0 precedes the segment; one without an end lasts to the last answer, or for good.
    """
    due_s = segment.started_s + max(at.second, 0)
    from_s, to_s = (-math.inf, due_s) if at.second <= 0 else (due_s, due_s + ACT_LATE_S)
    if act.act != at.act.name or not from_s <= act.injected_s <= to_s or act.lifted_s is None:
        return False
    if at.until_s is None:
        return act.lifted_s >= segment.ended_s
    until_s = segment.started_s + at.until_s
    return until_s <= act.lifted_s <= until_s + ACT_LATE_S


# --- the generator -----------------------------------------------------------------------------


def generator_was_on_time(_: Experiment, evidence: Evidence) -> Finding:
    """Each arm's requests were sent when they were due, within 10 ms, all but 1 %."""
    shares = {arm: _late_share(evidence, arm) for arm in evidence.plan["arms"]}
    unsent = [segment.generator.unsent for segment in evidence.segments]
    late = {arm: _late(share) for arm, share in shares.items() if not share <= LATE_SHARE_MAX}
    on_time = bool(shares) and not late and not any(unsent)
    most = f"at most {max(shares.values()):.2%} of an arm late" if shares else "no arm"
    observed = listed(late) or most
    why = "" if on_time else "".join(_exhausted(evidence))
    return _guard("the generator was on time", on_time, f"{observed}, {sum(unsent)} unsent{why}")


def _exhausted(evidence: Evidence) -> Iterator[str]:
    """Resources that the generator ran out of."""
    own = [segment.generator for segment in evidence.segments]
    if no_socket := sum(generator.no_socket for generator in own):
        yield f", {no_socket} of them for want of a socket or file descriptor"
    busiest = max((g.cpu_share for g in own if g.cpu_share >= BUSY_SHARE), default=None)
    if busiest is not None:
        yield f"; the generator's process used {busiest:.0%} of a core"


def _late(share: float) -> str:
    return "sent nothing" if math.isnan(share) else f"{share:.2%} late"


def _late_share(evidence: Evidence, arm: str) -> float:
    own = [segment for segment in evidence.segments if segment.arm == arm]
    sent = sum(segment.generator.sent for segment in own)
    return sum(_late_count(segment) for segment in own) / sent if sent > 0 else math.nan


def _late_count(segment: Segment) -> int:
    """Late requests by the generator's count or by the record: the larger."""
    lag_s = segment.requests.sent_s - segment.requests.intended_s
    return max(segment.generator.late, int((lag_s > LATE_S + ROUNDING_S).sum()))


def record_is_whole(_: Experiment, evidence: Evidence) -> Finding:
    """The record holds exactly the requests that were due and that the generator counted."""
    apart = [
        f"{s.arm}: {s.generator.offered} due, {s.generator.sent} sent, {len(s.requests)} on record"
        for s in evidence.all_segments
        if not s.generator.offered == s.generator.sent == len(s.requests)
    ]
    apart += [
        f"{s.arm}: {s.generator.visits} visits, {sessions} sessions on record"
        for s in evidence.all_segments
        if (sessions := len(np.unique(s.requests.session))) != s.generator.visits
    ]
    complete = bool(evidence.segments) and not apart
    observed = "all are" if complete else "; ".join(apart) or "no segment is"
    return _guard("every request sent is on record", complete, observed)


# --- accounts ----------------------------------------------------------------------------------


def counters_agree(_: Experiment, evidence: Evidence) -> Finding:
    """Postgres and the app count as many look-ups as the app logged.

    Postgres counts what it answered; it may have counted those that failed for the app, too. The
    count of a part that began anew is not known.
    """
    apart = [
        f"{segment.arm}: Postgres {databases:g}, app {app:g}, log {logged}"
        for segment in evidence.segments
        for databases, app, logged, failed in [_look_up_counts(segment)]
        if not (
            (math.isnan(databases) or logged - failed <= databases <= logged)
            and (math.isnan(app) or app == logged)
        )
    ]
    total = sum(len(segment.look_ups) for segment in evidence.segments)
    agree = bool(evidence.segments) and not apart
    return _guard(
        "Postgres and the app count the same look-ups",
        agree,
        "; ".join(apart) or f"{total} in Postgres, in the app and in its log",
    )


def _look_up_counts(segment: Segment) -> tuple[float, float, int, int]:
    databases = segment.count("primary.look_ups") + segment.count("replica.look_ups")
    failed = int(segment.look_ups.failed.sum())
    return databases, segment.count("web.look_ups"), len(segment.look_ups), failed


def nobody_else_used_the_lab(_: Experiment, evidence: Evidence) -> Finding:
    """The web processes answered the generator's requests and no others.

    A request without an answer, or with a gateway's, may have reached them or not; the count of a
    web process that was killed is unknown. Apart from that the counts must be equal.
    """
    due = [(s, s.count("web.requests"), *_requests_due(s)) for s in evidence.all_segments]
    strange = [
        f"{segment.arm}: {answered:g} answered, {least} to {most} due"
        for segment, answered, least, most in due
        if not (math.isnan(answered) or least <= answered <= most)
    ]
    known = [(answered, least, most) for _, answered, least, most in due if answered == answered]
    unsure = sum(most - least for _, least, most in known)
    total = sum(answered for answered, _, _ in known)
    fine = f"{total:g} requests answered, of which {unsure} could be another's"
    alone = bool(evidence.segments) and not strange
    return _guard("nobody else used the lab", alone, "; ".join(strange) or fine)


def _requests_due(segment: Segment) -> tuple[int, int]:
    """The fewest and the most requests that the web processes should have counted."""
    requests = segment.requests
    never_sent = (requests.outcome == "fail") & (requests.status == 0)
    unsure = (requests.outcome == "unknown") | (requests.status >= 500)
    most = segment.generator.sent - int(never_sent.sum())
    return most - int(unsure.sum()), most


def enough_events(experiment: Experiment, evidence: Evidence) -> Finding:
    """Every arm repeated the event as often as the mode promises."""
    count = {
        arm: sum(len(experiment.event.of(s)) for s in evidence.segments if s.arm == arm)
        for arm in evidence.plan["arms"]
    }
    needed = evidence.mode.events
    enough = bool(count) and min(count.values()) >= needed
    noun = experiment.event.noun if needed == 1 else experiment.event.plural
    return _guard(f"every arm saw at least {needed} {noun}", enough, listed(count) or "no arm")


# --- ledgers -----------------------------------------------------------------------------------

WRONG = ("lost", "duplicated", "unexpected", "miscounted")


def ledgers_are_exact(experiment: Experiment, evidence: Evidence) -> Finding:
    """What clients were told is in the primary, once, after queue and outbox were empty.

    What a claim judges by a measure of a ledger, such as `clicks_lost`, is left to the claim, and
    so is how long clicks take to be counted. Where they still waited when the run went on, what
    is lost may only be late.
    """
    text = "all that was acknowledged is in the primary, exactly once"
    told = sum(ledger.acknowledged for s in evidence.segments for ledger in s.ledgers.values())
    read = evidence.read_back and all(segment.ledgers for segment in evidence.all_segments)
    if not read or not told:
        return Finding(text, Verdict.INVALID, "nothing was read back")
    judged = _judged_by_claims(experiment, evidence)
    waiting = [s.arm for s in evidence.all_segments if math.isnan(s.settled_s)]
    if late := [arm for arm in dict.fromkeys(waiting) if (catch_up().name, arm) not in judged]:
        return Finding(text, Verdict.INVALID, f"clicks still waited after {', '.join(late)}")
    wrong: dict[str, int] = {}
    for segment in evidence.all_segments:
        for kind, ledger in segment.ledgers.items():
            for figure, count in _wrong(ledger).items():
                if count and (f"{kind}_{figure}", segment.arm) not in judged:
                    name = f"{segment.arm}: {kind} {figure}"
                    wrong[name] = wrong.get(name, 0) + count
    observed = listed(wrong) or f"{told} acknowledged"
    return Finding(text, Verdict.of(not wrong), observed)


def _judged_by_claims(experiment: Experiment, evidence: Evidence) -> set[tuple[str, str]]:
    """Measures and arms that some claim made of this run is about.

    A claim about two arms judges the first: the second is what it is compared with.
    """
    due, _ = asked(experiment, evidence)
    return {
        (measure.name, arm)
        for claim in due
        for measure in claim.measures
        for arm in claim.arms[:1] or claim.arms_of(evidence.plan["arms"])
    }


def _wrong(ledger: Ledger) -> Mapping[str, int]:
    return {name: getattr(ledger, name) for name in WRONG}


def _guard(text: str, holds: bool, observed: str) -> Finding:
    return Finding(text, Verdict.PASS if holds else Verdict.INVALID, observed)


RUN_CHECKS: Sequence[Check] = (
    ran_to_its_end,
    record_checks.ran_as_planned,
    record_is_whole,
    record_checks.requests_are_credible,
    record_checks.clocks_agree,
    record_checks.versions_are_one,
    record_checks.versions_are_written,
    record_checks.traffic_was_as_planned,
    control_is_healthy,
    acts_are_proven,
    generator_was_on_time,
    counters_agree,
    record_checks.samples_are_whole,
    record_checks.parts_lived_on,
    nobody_else_used_the_lab,
    enough_events,
    ledgers_are_exact,
    act_checks.state_was_as_planned,
    act_checks.acts_show_in_traffic,
    act_checks.rest_was_quiet,
    act_checks.control_was_quick,
)
