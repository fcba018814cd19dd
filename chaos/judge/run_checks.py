"""Checks of a run: when one fails, its numbers prove nothing and the run is INVALID.

A check that does not apply to an experiment returns `None`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from chaos.judge import (
    account_checks,
    act_checks,
    answer_checks,
    control_checks,
    record_checks,
    settings_checks,
    traffic_checks,
)
from chaos.judge.claims import asked, listed
from chaos.measures.recovery import catch_up
from chaos.model.evidence import (
    CLICKS_WAIT,
    ActEvidence,
    Evidence,
    Finding,
    Ledger,
    Segment,
    Verdict,
)
from chaos.model.experiment import At, Experiment

ACT_LATE_S = 1.0
ACT_TAKES_S = (
    4.0  # a container engine takes more than one to end a container, beside other work two
)
Check = Callable[[Experiment, Evidence], Finding | None]


def ran_to_its_end(_: Experiment, evidence: Evidence) -> Finding:
    """Nothing stopped the run: no part died, no signal interrupted it."""
    return _guard("the run came to its end", evidence.trouble is None, evidence.trouble or "it did")


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
    told = [observed, *dict.fromkeys(odd), *map(_readings, unproven[:1])]
    return _guard("every act took effect and was healed", holds, "; ".join(told))


def _readings(act: ActEvidence) -> str:
    """Readings of an act's probe: `replica: redis paused: 3 of 3 answered before, …`."""
    again = {"shortly before its end": act.again} if act.again else {}
    at = {"before": act.before, "during": act.during, **again, "after": act.after}
    told = [f"{r.value:g} {r.unit} {when}" if r else f"none {when}" for when, r in at.items()]
    return f"{act.arm}: {act.act}: {', '.join(told)}"


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
    """True if an act began and ended when it should have, and was in force soon after it began.

    One at second 0 precedes the segment; one without an end lasts to the last answer, or for good.
    """
    if act.act != at.act.name or act.lifted_s is None or not _began_as_planned(act, at, segment):
        return False
    if at.until_s is None:
        return act.lifted_s >= segment.ended_s
    until_s = segment.started_s + at.until_s
    return until_s <= act.lifted_s <= until_s + ACT_LATE_S


def _began_as_planned(act: ActEvidence, at: At, segment: Segment) -> bool:
    if at.second <= 0:
        return act.injected_s <= segment.started_s
    due_s = segment.started_s + at.second
    begun_s = act.injected_s if act.begun_s is None else act.begun_s
    in_force_after_s = act.injected_s - begun_s
    return due_s <= begun_s <= due_s + ACT_LATE_S and 0 <= in_force_after_s <= ACT_TAKES_S


# --- the generator -----------------------------------------------------------------------------


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
    if evidence.damage:
        return Finding(text, Verdict.INVALID, "the lab's own record lost some of it")
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
    for segment in evidence.all_segments:
        if count := _unpromised(segment):
            name = f"{segment.arm}: redirects without a click id"
            wrong[name] = wrong.get(name, 0) + count
    observed = listed(wrong) or f"{told} acknowledged"
    return Finding(text, Verdict.of(not wrong), observed)


def _unpromised(segment: Segment) -> int:
    """Redirects that name no click, where none waits for its click and may give it up.

    Where they wait, a busy machine may leave some without, but hardly half of them.
    """
    clicks = segment.ledgers.get("clicks")
    if clicks is None:
        return 0
    without = clicks.attempted - clicks.acknowledged
    waits = segment.settings.get("CLICK_MODE") in CLICKS_WAIT
    return without if without > (clicks.attempted / 2 if waits else 0) else 0


def _judged_by_claims(experiment: Experiment, evidence: Evidence) -> set[tuple[str, str]]:
    """Measures, or what they add up, and arms that some claim made of this run is about.

    A claim about two arms judges the first: the second is what it is compared with.
    """
    due, _ = asked(experiment, evidence)
    return {
        (name, arm)
        for claim in due
        for measure in claim.measures
        for name in (measure.name, *measure.sums)
        for arm in claim.arms[:1] or claim.arms_of(evidence.plan["arms"])
    }


def _wrong(ledger: Ledger) -> Mapping[str, int]:
    return {name: getattr(ledger, name) for name in WRONG}


def _guard(text: str, holds: bool, observed: str) -> Finding:
    return Finding(text, Verdict.PASS if holds else Verdict.INVALID, observed)


RUN_CHECKS: Sequence[Check] = (
    ran_to_its_end,
    account_checks.nothing_was_lost_by_the_lab,
    record_checks.ran_as_planned,
    record_is_whole,
    record_checks.requests_are_credible,
    record_checks.clocks_agree,
    record_checks.versions_are_written,
    record_checks.traffic_was_as_planned,
    traffic_checks.arrivals_are_random,
    traffic_checks.arrivals_are_those_drawn,
    traffic_checks.visits_went_on,
    control_checks.control_is_healthy,
    acts_are_proven,
    act_checks.state_was_as_planned,
    act_checks.acts_show_in_traffic,
    act_checks.rest_was_quiet,
    control_checks.control_was_quick,
    account_checks.counters_agree,
    account_checks.redis_counted,
    record_checks.samples_are_whole,
    record_checks.parts_lived_on,
    nobody_else_used_the_lab,
    enough_events,
    ledgers_are_exact,
    account_checks.statements_are_known,
    account_checks.web_processes_share,
    settings_checks.settings_were_in_force,
    settings_checks.roles_were_kept,
    settings_checks.answers_were_possible,
    settings_checks.cached_links_lasted,
    answer_checks.answers_are_right,
    answer_checks.answers_came_in_time,
    answer_checks.answers_fit_look_ups,
    answer_checks.gateway_agrees,
)
