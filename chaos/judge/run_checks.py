"""Checks of a run: when one fails, its numbers prove nothing and the run is INVALID."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from chaos.judge import record_checks
from chaos.judge.claims import listed
from chaos.measures.expiries import expiries
from chaos.model.evidence import (
    LATE_SHARE_MAX,
    Clicks,
    Evidence,
    FaultEvidence,
    Finding,
    Segment,
    Verdict,
)

BUSY_SHARE = 0.9  # of a core; a process of one thread cannot do more than all of it
LATE_S = 0.010
ROUNDING_S = 2e-6  # times on record have six decimals
FAULT_LATE_S = 1.0
Check = Callable[[Evidence], Finding]


def ran_to_its_end(evidence: Evidence) -> Finding:
    """Nothing stopped the run: no part died, no signal interrupted it."""
    return _guard("the run came to its end", evidence.trouble is None, evidence.trouble or "it did")


def control_is_healthy(evidence: Evidence) -> Finding:
    """Without the fault, the naive arm answers every request: failures are the fault's."""
    requests = sum(len(segment.requests) for segment in evidence.control)
    failed = sum(int((s.requests.outcome != "ok").sum()) for s in evidence.control)
    observed = f"{requests} requests, {failed} failed"
    return _guard("the control without faults is healthy", requests > 0 and not failed, observed)


def faults_are_proven(evidence: Evidence) -> Finding:
    """Every planned fault was in force once in every segment, to its end, moved its probe and was
    gone afterwards; none was in force in the control."""
    text = "every fault took effect and was healed"
    odd = [*_odd_faults(evidence)]
    unproven = [fault for fault in evidence.faults if not fault.proven]
    observed = f"{len(evidence.faults) - len(unproven)} of {len(evidence.faults)} injections proven"
    enough = len(evidence.faults) == len(evidence.segments) * len(evidence.plan["faults"]) > 0
    return _guard(text, enough and not unproven and not odd, "; ".join([observed, *odd]))


def _odd_faults(evidence: Evidence) -> Iterator[str]:
    for segment in evidence.segments:
        for planned in evidence.plan["faults"]:
            due_s = segment.started_s + max(planned["second"], 0)
            if len(_in_force(evidence, segment, planned["fault"], due_s)) != 1:
                yield f"{segment.arm}: {planned['fault']} was not in force as planned"
    for control in evidence.control:
        if any(_overlaps(fault, control) for fault in evidence.faults):
            yield "a fault was in force in the control"


def _in_force(
    evidence: Evidence, segment: Segment, name: str, due_s: float
) -> Sequence[FaultEvidence]:
    """Injections of a fault into a segment that lasted to its end.

    One at second 0 precedes the segment; a later one follows a probe of the healthy stack, within a
    second of its due time.
    """
    standing = due_s == segment.started_s
    from_s, to_s = (-math.inf, due_s) if standing else (due_s, due_s + FAULT_LATE_S)
    return [
        fault
        for fault in evidence.faults
        if (fault.fault, fault.arm) == (name, segment.arm)
        and _overlaps(fault, segment)
        and fault.healed_s is not None
        and fault.healed_s >= segment.ended_s
        and from_s <= fault.injected_s <= to_s
    ]


def _overlaps(fault: FaultEvidence, segment: Segment) -> bool:
    healed_s = math.inf if fault.healed_s is None else fault.healed_s
    return fault.injected_s < segment.ended_s and healed_s > segment.started_s


def generator_was_on_time(evidence: Evidence) -> Finding:
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


def record_is_whole(evidence: Evidence) -> Finding:
    """The record holds exactly the requests that were due and that the generator counted."""
    apart = [
        f"{s.arm}: {s.generator.offered} due, {s.generator.sent} sent, {len(s.requests)} on record"
        for s in [*evidence.control, *evidence.segments]
        if not s.generator.offered == s.generator.sent == len(s.requests)
    ]
    complete = bool(evidence.segments) and not apart
    observed = "all are" if complete else "; ".join(apart) or "no segment is"
    return _guard("every request sent is on record", complete, observed)


def counters_agree(evidence: Evidence) -> Finding:
    """Postgres and the app count as many origin queries as the app logged."""
    apart = [
        f"{segment.arm}: Postgres {pg}, app {app}, log {logged}"
        for segment in evidence.segments
        for pg, app, logged in [_origin_counts(segment)]
        if not pg == app == logged
    ]
    total = sum(segment.counted.postgres_origin_queries for segment in evidence.segments)
    agree = total > 0 and not apart
    text = "Postgres and the app count the same origin queries"
    return _guard(
        text, agree, "; ".join(apart) or f"{total} in Postgres, in the app and in its log"
    )


def _origin_counts(segment: Segment) -> tuple[int, int, int]:
    counted = segment.counted
    return counted.postgres_origin_queries, counted.app_origin_queries, len(segment.origin)


def nobody_else_used_the_lab(evidence: Evidence) -> Finding:
    """The web processes answered the generator's requests and no others.

    A request without an answer, or with a gateway's, may have reached them or not; the count of a
    web process that was killed is unknown. Apart from that the counts must be equal.
    """
    due = [(s, *_requests_due(s)) for s in [*evidence.control, *evidence.segments]]
    strange = [
        f"{segment.arm}: {segment.counted.web_requests} answered, {least} to {most} due"
        for segment, least, most in due
        if not least <= segment.counted.web_requests <= most
    ]
    answered = sum(segment.counted.web_requests for segment, _, _ in due)
    unsure = sum(most - least for _, least, most in due)
    fine = f"{answered} requests answered, of which {unsure} could be another's"
    alone = bool(evidence.segments) and not strange
    return _guard("nobody else used the lab", alone, "; ".join(strange) or fine)


def _requests_due(segment: Segment) -> tuple[int, int]:
    """The fewest and the most requests that the web processes should have counted."""
    requests = segment.requests
    never_sent = (requests.outcome == "fail") & (requests.status == 0)
    unsure = (requests.outcome == "unknown") | (requests.status >= 500)
    most = segment.generator.sent - int(never_sent.sum())
    return (0 if segment.counted.web_starts else most - int(unsure.sum())), most


def enough_expiries(evidence: Evidence) -> Finding:
    """Every arm repeated the failure as often as the mode promises."""
    count = {
        arm: sum(len(expiries(segment)) for segment in evidence.segments if segment.arm == arm)
        for arm in evidence.plan["arms"]
    }
    needed = evidence.mode.repetitions
    enough = bool(count) and min(count.values()) >= needed
    return _guard(f"every arm saw at least {needed} expiries", enough, listed(count) or "no arm")


def clicks_are_exact(evidence: Evidence) -> Finding:
    """Each acknowledged click is in the primary once, by id, after the queue has drained."""
    text = "every acknowledged click is counted exactly once"
    clicks = evidence.clicks
    if clicks is None or clicks.acknowledged == 0:
        return Finding(text, Verdict.INVALID, "nothing was read back")
    observed = (
        f"{clicks.acknowledged} acknowledged, {clicks.lost} lost, {clicks.duplicated} duplicated,"
        f" {clicks.unexpected} unexpected, totals off by {clicks.miscounted}"
    )
    return Finding(text, Verdict.of(_wrong_clicks(clicks) == 0), observed)


def _wrong_clicks(clicks: Clicks) -> int:
    return clicks.lost + clicks.duplicated + clicks.unexpected + clicks.miscounted


def _guard(text: str, holds: bool, observed: str) -> Finding:
    return Finding(text, Verdict.PASS if holds else Verdict.INVALID, observed)


RUN_CHECKS: Sequence[Check] = (
    ran_to_its_end,
    record_is_whole,
    record_checks.requests_are_credible,
    record_checks.clocks_agree,
    record_checks.versions_are_one,
    record_checks.traffic_was_as_planned,
    control_is_healthy,
    faults_are_proven,
    generator_was_on_time,
    counters_agree,
    record_checks.redis_was_watched,
    record_checks.webs_lived_on,
    nobody_else_used_the_lab,
    enough_expiries,
    clicks_are_exact,
)
