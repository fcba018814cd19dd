"""Checks that a record agrees with its plan, with itself and with the clock.

Several processes write a record. An error of one contradicts what another wrote of the same thing;
only what a single process recorded cannot be checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from math import sqrt

import numpy as np

from chaos.model.evidence import (
    CONTROL,
    ArmResult,
    Evidence,
    Finding,
    Mode,
    OriginQueries,
    Requests,
    Segment,
    Verdict,
)
from chaos.model.experiment import Experiment, Measure, Traffic
from chaos.model.stack import Settings

ROUNDING_S = 2e-6  # times on record have six decimals
SAMPLE_GAP_S = 1.0
SIGMAS = 5.0
NEAR_ENOUGH = 0.01


def ran_as_planned(experiment: Experiment, evidence: Evidence) -> Finding:
    """The plan is that of the current experiment, and every segment of it is on record."""
    odd = [
        *_other_plan(experiment, evidence),
        *_missing_segments(evidence),
        *_odd_segments(experiment, evidence),
    ]
    count = len(evidence.segments)
    return _guard("the run was the experiment's, from plan to end", odd, f"{count} segments of it")


def _other_plan(experiment: Experiment, evidence: Evidence) -> Iterator[str]:
    plan = evidence.plan
    faults = [{"fault": at.fault.name, "second": at.second} for at in experiment.faults]
    if _is_less(evidence.mode, experiment.mode(full=evidence.mode.name == "full")):
        yield "less was planned than the experiment's mode asks for"
    if plan["traffic"] != asdict(experiment.traffic):
        yield "another traffic was planned than the experiment has"
    if plan["faults"] != faults:
        yield "other faults were planned than the experiment has"
    known = {arm.name: {**experiment.settings, **arm.settings} for arm in experiment.arms}
    if strange := set(plan["arms"]) - set(known):
        yield f"the experiment has no arm {', '.join(sorted(strange))}"
    elif odd := _odd_settings(plan["arms"], known):
        yield f"{odd} was planned with settings of no arm"


def _is_less(planned: Mode, wanted: Mode) -> bool:
    """True if the plan has less of anything than the mode; more is as good."""
    figures = ("rounds", "segment_s", "repetitions", "control_s")
    return any(getattr(planned, name) < getattr(wanted, name) for name in figures)


def _odd_settings(planned: Mapping[str, Settings], known: Mapping[str, Settings]) -> str | None:
    """The first arm whose settings are not its own under overrides that all arms share."""
    overrides = {
        name: value
        for arm, settings in planned.items()
        for name, value in settings.items()
        if known[arm].get(name) != value
    }
    odd = (arm for arm, given in planned.items() if given != {**known[arm], **overrides})
    return next(odd, None)


def _missing_segments(evidence: Evidence) -> Iterator[str]:
    arms, rounds = evidence.plan["arms"], range(evidence.mode.rounds)
    wanted = sorted((arm, number) for arm in arms for number in rounds)
    if sorted((segment.arm, segment.round) for segment in evidence.segments) != wanted:
        yield f"{len(wanted)} segments were planned, and those on record are not the same"
    if {segment.arm for segment in evidence.control} != {CONTROL}:
        yield "the control is not on record"


def _odd_segments(experiment: Experiment, evidence: Evidence) -> Iterator[str]:
    """Segments that are not as long, not as set or not where they should be in time."""
    planned = {**evidence.plan["arms"]}
    planned[CONTROL] = planned.get(experiment.naive.name)
    in_time = sorted([*evidence.control, *evidence.segments], key=lambda s: s.started_s)
    for segment in in_time:
        control = segment.arm == CONTROL
        wanted_s = evidence.mode.control_s if control else evidence.mode.segment_s
        if abs(segment.ended_s - segment.started_s - wanted_s) > ROUNDING_S:
            yield f"{segment.arm} did not last {wanted_s:g} s"
        if segment.settings != planned.get(segment.arm):
            yield f"{segment.arm} ran with other settings than planned"
    if any(later.started_s < earlier.ended_s for earlier, later in pairwise(in_time)):
        yield "segments overlap"
    if in_time and in_time[0].started_s < evidence.plan["began_s"]:
        yield "a segment began before the run"
    if len({segment.web_processes for segment in in_time}) > 1:
        yield "the number of web processes changed"


def requests_are_credible(evidence: Evidence) -> Finding:
    """No request on record is impossible: of no segment, doubled, or at odds with its answer."""
    odd = [f"{count} {name}" for name, count in asdict(evidence.oddities).items() if count]
    odd += [f"{s.arm}: times that cannot be" for s in _all(evidence) if not _timely(s)]
    total = sum(len(segment.requests) for segment in _all(evidence))
    return _guard("every request on record can be true", odd, f"all {total} can")


def _timely(segment: Segment) -> bool:
    """Each request was due in the segment, sent after that, and answered after that."""
    requests = segment.requests
    due = requests.intended_s >= segment.started_s - ROUNDING_S
    due &= requests.intended_s <= segment.ended_s + ROUNDING_S
    in_order = requests.sent_s >= requests.intended_s - ROUNDING_S
    in_order &= requests.done_s >= requests.sent_s - ROUNDING_S
    return bool((due & in_order).all())


def clocks_agree(evidence: Evidence) -> Finding:
    """Each origin query falls into a request for its key: two processes' clocks agree.

    The generator's clock has the time of the request, the web process's that of the cache read.
    """
    odd = []
    for segment in _all(evidence):
        outside = _outside_requests(segment)
        if outside or not _in_order(segment.origin):
            odd.append(f"{segment.arm}: {outside} of {len(segment.origin)} look-ups in no request")
    total = sum(len(segment.origin) for segment in _all(evidence))
    return _guard("every look-up falls into a request for its key", odd, f"all {total} look-ups do")


def _in_order(origin: OriginQueries) -> bool:
    stored_s = np.where(np.isnan(origin.stored_s), np.inf, origin.stored_s)
    times = [origin.read_s, origin.asked_s, origin.answered_s, stored_s]
    return all(bool((later >= earlier).all()) for earlier, later in pairwise(times))


def _outside_requests(segment: Segment) -> int:
    """Count origin queries that fall into no request for their key."""
    origin, requests = segment.origin, segment.requests
    inside = sum(
        int(_in_flight(requests, int(rank), origin.read_s[origin.rank == rank]).sum())
        for rank in np.unique(origin.rank)
    )
    return len(origin) - inside


def _in_flight(
    requests: Requests, rank: int, at_s: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mask of the moments at which a request for a key was sent and not yet answered."""
    own = requests.rank == rank
    order = np.argsort(requests.sent_s[own])
    sent_s = requests.sent_s[own][order]
    last_done_s = np.concatenate([[-np.inf], np.maximum.accumulate(requests.done_s[own][order])])
    sent_before = np.searchsorted(sent_s, at_s + ROUNDING_S, side="right")
    in_flight: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
        last_done_s[sent_before] >= at_s - ROUNDING_S
    )
    return in_flight


def versions_are_one(evidence: Evidence) -> Finding:
    """All readers of a link saw one version: no traffic so far edits links."""
    seen = {
        (int(rank), int(version))
        for segment in _all(evidence)
        for rank, version in _distinct(segment.requests)
    }
    ranks = [rank for rank, _ in seen]
    odd = [f"link {rank}: several" for rank in sorted(set(ranks)) if ranks.count(rank) > 1]
    return _guard(
        "every reader of a link saw the same version", odd, f"{len(seen)} links, one each"
    )


def _distinct(requests: Requests) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    ok = requests.outcome == "ok"
    pairs: np.ndarray[tuple[int, int], np.dtype[np.int64]] = np.unique(
        np.stack([requests.rank[ok], requests.version[ok]], axis=1), axis=0
    )
    return pairs


def traffic_was_as_planned(evidence: Evidence) -> Finding:
    """Requests, and those for the hot key, are as many as the plan's rates make likely: in the
    whole run and in each segment, so that no arm had less load than another.

    Arrivals are Poisson and keys are drawn at random: fewer than one sound run in ten thousand has
    a segment five standard deviations off. A generator that lacks one of its workers is further
    off. One per cent is near enough for any run, however large.
    """
    traffic = Traffic(**evidence.plan["traffic"])
    segments = _all(evidence)
    odd = [*_odd_traffic(traffic, segments)]
    odd += [f"{s.arm}: {why}" for s in segments for why in _odd_traffic(traffic, [s])]
    offered, hot, duration_s = _offered(segments)
    observed = f"{offered} requests in {duration_s:.1f} s, {hot} for the hot key"
    return _guard("the traffic was the planned one", odd, observed)


def _odd_traffic(traffic: Traffic, segments: Sequence[Segment]) -> Iterator[str]:
    offered, hot, duration_s = _offered(segments)
    least = traffic.rate_per_s * duration_s
    most = (traffic.peak_per_s or traffic.rate_per_s) * duration_s
    if not least - _slack(least, least) <= offered <= most + _slack(most, most):
        yield f"{offered} requests in {duration_s:.1f} s"
    expected_hot = traffic.hot_share * offered
    if abs(hot - expected_hot) > _slack(expected_hot, expected_hot * (1 - traffic.hot_share)):
        yield f"{hot} of {offered} for the hot key"


def _offered(segments: Sequence[Segment]) -> tuple[int, int, float]:
    """Requests that were due, those of them for the hot key, and the duration in seconds."""
    offered = sum(segment.generator.offered for segment in segments)
    hot = sum(int(segment.requests.hot.sum()) for segment in segments)
    return offered, hot, sum(segment.ended_s - segment.started_s for segment in segments)


def _slack(expected: float, variance: float) -> float:
    return max(SIGMAS * sqrt(variance), NEAR_ENOUGH * expected)


def redis_was_watched(evidence: Evidence) -> Finding:
    """Redis's counter was read without gaps, never fell, and rose no further than its total."""
    odd = [
        f"{segment.arm}: {why}"
        for segment in _all(evidence)
        if (why := _odd_samples(segment)) is not None
    ]
    count = sum(len(segment.samples.of("redis_commands")[0]) for segment in _all(evidence))
    return _guard("Redis was watched throughout", odd, f"{count} readings of its counter")


def _odd_samples(segment: Segment) -> str | None:
    t_s, commands = segment.samples.of("redis_commands")
    start_s, end_s = segment.started_s, segment.ended_s
    gap_s = np.diff(np.clip(np.concatenate([[start_s], t_s, [end_s]]), start_s, end_s)).max()
    if gap_s > SAMPLE_GAP_S:
        return f"no reading for {gap_s:.1f} s"
    if (np.diff(commands) < 0).any() or segment.counted.redis_commands < 0:
        return "the counter fell"
    if commands[-1] - commands[0] > segment.counted.redis_commands:
        return "it rose further than it moved in all"
    return None


def webs_lived_on(evidence: Evidence) -> Finding:
    """Web processes restarted only after a fault killed them: a restart loses counts."""
    names = [fault["fault"] for fault in evidence.plan["faults"]]
    killed = sum(name.startswith("web-") and name.endswith(" killed") for name in names)
    most = [*((s, 0) for s in evidence.control), *((s, killed) for s in evidence.segments)]
    odd = [
        f"{segment.arm}: {segment.counted.web_starts} starts"
        for segment, planned in most
        if not 0 <= segment.counted.web_starts <= planned
    ]
    count = sum(segment.counted.web_starts for segment in _all(evidence))
    return _guard("no web process died unplanned", odd, f"{count} began anew")


def figures_are_known(measures: Sequence[Measure], rows: Mapping[str, ArmResult]) -> Finding:
    """Every measure of every arm has a figure: what was not measured proves nothing."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for arm in rows.values():
        for why, titles in _without_figure(measures, arm).items():
            lacking.setdefault((", ".join(titles), why), []).append(arm.name)
    odd = [f"{', '.join(arms)}: no {what}, since {why}" for (what, why), arms in lacking.items()]
    text = "every measure of every arm has a figure"
    return _guard(text, odd if rows else ["no arm at all"], f"{len(rows)} arms")


def _without_figure(measures: Sequence[Measure], arm: ArmResult) -> Mapping[str, Sequence[str]]:
    """Titles of an arm's measures without a figure, by reason."""
    titles: dict[str, list[str]] = {}
    for measure in measures:
        if not arm.measures[measure.name].known:
            titles.setdefault(measure.without, []).append(measure.title)
    return titles


def _all(evidence: Evidence) -> Sequence[Segment]:
    return [*evidence.control, *evidence.segments]


def _guard(text: str, odd: Sequence[str], observed: str) -> Finding:
    verdict = Verdict.INVALID if odd else Verdict.PASS
    return Finding(text, verdict, "; ".join(dict.fromkeys(odd)) or observed)
