"""Checks that a record agrees with its plan, with itself and with the clock.

Several processes write a record. An error of one contradicts what another wrote of the same thing;
only what a single process recorded cannot be checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from itertools import pairwise
from math import isnan, sqrt
from typing import Any

import numpy as np

from chaos.judge import control_checks
from chaos.judge.findings import guard
from chaos.measures.histories import redirect_window
from chaos.model.evidence import (
    CONTROL,
    ArmResult,
    Evidence,
    Finding,
    Floats,
    LookUps,
    Mode,
    Requests,
    Segment,
    part_of,
)
from chaos.model.experiment import Experiment, Measure
from chaos.model.plan import timeline_plan, traffic_plan
from chaos.model.stack import Settings
from chaos.model.traffic import Traffic

ROUNDING_S = 2e-6  # times on record have six decimals
SAMPLE_GAP_S = 1.0
UNREAD_GAP_S = 3.0  # of a counter whose course no measure reads
SIGMAS = 5.0
NEAR_ENOUGH = 0.01
REQUIRED_SAMPLES = ("redis.commands", "primary.look_ups", "replica.look_ups")


def ran_as_planned(experiment: Experiment, evidence: Evidence) -> Finding:
    """The plan is that of the current experiment, and every segment of it is on record."""
    odd = [
        *_other_plan(experiment, evidence),
        *_missing_segments(evidence),
        *_odd_segments(experiment, evidence),
    ]
    count = len(evidence.segments)
    text = "the run was the experiment's, from plan to end"
    return guard(text, odd, f"{count} segments of it", seen=count)


def _other_plan(experiment: Experiment, evidence: Evidence) -> Iterator[str]:
    planned = evidence.plan["arms"]
    if _is_less(evidence.mode, experiment.mode(full=evidence.mode.name == "full")):
        yield "less was planned than the experiment's mode asks for"
    known = {arm.name: {**experiment.settings, **arm.settings} for arm in experiment.arms}
    if strange := set(planned) - set(known):
        yield f"the experiment has no arm {', '.join(sorted(strange))}"
        return
    for name, plan in planned.items():
        arm = experiment.arm(name)
        if plan["traffic"] != traffic_plan(experiment.traffic_of(arm)):
            yield f"another traffic was planned than {name} has"
        if plan["timeline"] != timeline_plan(experiment.timeline_of(arm)):
            yield f"other acts were planned than {name} has"
    if odd := _odd_settings({name: plan["settings"] for name, plan in planned.items()}, known):
        yield f"{odd} was planned with settings of no arm"


def _is_less(planned: Mode, wanted: Mode) -> bool:
    """True if the plan has less of anything than the mode; more is as good."""
    figures = ("rounds", "segment_s", "events", "control_s", "rounds_max")
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
    """Every arm ran the planned rounds, and those that a look found in doubt the further ones."""
    arms, looks = evidence.plan["arms"], evidence.mode.looks
    wanted = [(arm, number) for arm in arms for number in range(evidence.mode.rounds)]
    for look, (rounds, until) in zip(evidence.looks, pairwise(looks), strict=False):
        wanted += [(arm, number) for arm in look.arms for number in range(rounds, until)]
    if sorted((s.arm, s.round) for s in evidence.segments) != sorted(wanted):
        yield f"{len(wanted)} segments were due, and those on record are not the same"
    yield from control_checks.odd_tries(evidence)
    yield from _odd_looks(evidence)


def _odd_looks(evidence: Evidence) -> Iterator[str]:
    """A run looks once after the planned rounds, and again after further ones up to the bound."""
    due = list(evidence.mode.looks[:-1])
    seen = [look.rounds for look in evidence.looks]
    ended = len(seen) == len(due) or (seen and not evidence.looks[-1].arms)
    if seen != due[: len(seen)] or not ended:
        yield "the run did not look at its claims when it should have"
    if any(not look.arms for look in evidence.looks[:-1]):
        yield "further rounds followed a look that asked for none"
    if any(set(look.arms) - set(evidence.plan["arms"]) for look in evidence.looks):
        yield "a look asked for rounds of an arm that did not run"


def _odd_segments(experiment: Experiment, evidence: Evidence) -> Iterator[str]:
    """Segments that are not as long, not as set or not where they should be in time."""
    planned = {name: plan["settings"] for name, plan in evidence.plan["arms"].items()}
    planned[CONTROL] = planned.get(experiment.naive.name)
    in_time = sorted(evidence.all_segments, key=lambda s: s.started_s)
    for segment in in_time:
        wanted_s = experiment.lasts_s(evidence.mode, segment.arm, segment.round)
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


def requests_are_credible(_: Experiment, evidence: Evidence) -> Finding:
    """No request on record is impossible: of no segment, doubled, or at odds with its answer."""
    odd = [f"{count} {name}" for name, count in asdict(evidence.oddities).items() if count]
    odd += [f"{s.arm}: times that cannot be" for s in evidence.all_segments if not _timely(s)]
    total = sum(len(segment.requests) for segment in evidence.all_segments)
    return guard("every request on record can be true", odd, f"all {total} can", seen=total)


def _timely(segment: Segment) -> bool:
    """Each request was due in the segment, sent after that, and answered after that."""
    requests = segment.requests
    due = requests.intended_s >= segment.started_s - ROUNDING_S
    due &= requests.intended_s <= segment.ended_s + ROUNDING_S
    in_order = requests.sent_s >= requests.intended_s - ROUNDING_S
    in_order &= requests.done_s >= requests.sent_s - ROUNDING_S
    return bool((due & in_order).all())


def clocks_agree(_: Experiment, evidence: Evidence) -> Finding:
    """Each look-up falls into a request for its key: two processes' clocks agree.

    The generator's clock has the time of the request, the web process's that of the cache read.
    """
    odd = []
    for segment in evidence.all_segments:
        outside = int((~inside_requests(segment.look_ups, segment.requests)).sum())
        if outside or not _in_order(segment.look_ups):
            odd.append(
                f"{segment.arm}: {outside} of {len(segment.look_ups)} look-ups in no request"
            )
    total = sum(len(segment.look_ups) for segment in evidence.all_segments)
    text, fine = "every look-up falls into a request for its key", f"all {total} look-ups do"
    return guard(text, odd, fine, seen=len(evidence.all_segments))


def _in_order(look_ups: LookUps) -> bool:
    stored_s = np.where(np.isnan(look_ups.stored_s), np.inf, look_ups.stored_s)
    times = [look_ups.read_s, look_ups.asked_s, look_ups.answered_s, stored_s]
    return all(bool((later >= earlier).all()) for earlier, later in pairwise(times))


def inside_requests(look_ups: LookUps, requests: Requests) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mask of the look-ups that fall into a request for their key.

    A request without an answer may be at work for any time.
    """
    rank, sent_s = requests.rank, requests.sent_s
    answered = (requests.outcome != "unknown") & (requests.status < 500)
    done_s = np.where(answered, requests.done_s, np.inf)
    order = np.argsort(sent_s)
    rank, sent_s, done_s = rank[order], sent_s[order], done_s[order]
    inside = np.zeros(len(look_ups), dtype=np.bool_)
    for key in np.unique(look_ups.rank):
        own, its = look_ups.rank == key, rank == key
        inside[own] = _in_flight(sent_s[its], done_s[its], look_ups.read_s[own])
    return inside


def _in_flight(sent_s: Floats, done_s: Floats, at_s: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mask of the moments at which a request was sent and not yet answered; by `sent_s`."""
    last_done_s = np.concatenate([[-np.inf], np.maximum.accumulate(done_s)])
    sent_before = np.searchsorted(sent_s, at_s + ROUNDING_S, side="right")
    in_flight: np.ndarray[Any, np.dtype[np.bool_]] = last_done_s[sent_before] >= at_s - ROUNDING_S
    return in_flight


def versions_are_written(experiment: Experiment, evidence: Evidence) -> Finding | None:
    """No reader saw a version before somebody began to write it, if visits change links."""
    if not any(_changes_links(experiment.traffic_of(arm)) for arm in experiment.arms):
        return None
    odd, reads = [], 0
    for segment in evidence.all_segments:
        window = redirect_window(segment.requests, segment.shared_links)
        reads += len(window.row)
        if count := int(window.impossible.sum()):
            odd.append(f"{segment.arm}: {count} reads")
    return guard("no reader saw what nobody had written", odd, f"{reads} reads", seen=reads)


def _changes_links(traffic: Traffic) -> bool:
    """True if a link may have several versions: one that is only created has one."""
    steps = [step.operation for visit in traffic.visits for step in visit.steps]
    return bool({"edit", "delete"} & {*steps})


def traffic_was_as_planned(experiment: Experiment, evidence: Evidence) -> Finding:
    """Visits, and those to the most popular link, are as many as the plan's rates make likely: in
    the whole run and in each segment, so that no arm had less load than another.

    Arrivals are Poisson and links are drawn at random: fewer than one sound run in ten thousand has
    a segment five standard deviations off. A generator that lacks one of its workers is further
    off. One per cent is near enough for any run, however large.
    """
    odd: list[str] = []
    of_traffic: dict[Traffic, list[Segment]] = {}
    for segment in evidence.all_segments:
        of_traffic.setdefault(experiment.traffic_in(segment), []).append(segment)
    for traffic, segments in of_traffic.items():
        odd += _odd_traffic(traffic, segments)
        odd += [f"{s.arm}: {why}" for s in segments for why in _odd_traffic(traffic, [s])]
    visits = sum(segment.generator.visits for segment in evidence.all_segments)
    observed = f"{visits} visits in {_duration_s(evidence.all_segments):.1f} s"
    return guard("the traffic was the planned one", odd, observed, seen=visits)


def _odd_traffic(traffic: Traffic, segments: Sequence[Segment]) -> Iterator[str]:
    visits, duration_s = sum(s.generator.visits for s in segments), _duration_s(segments)
    least = traffic.rate_per_s * duration_s
    most = (traffic.peak_per_s or traffic.rate_per_s) * duration_s
    if not least - _slack(least, least) <= visits <= most + _slack(most, most):
        yield f"{visits} visits in {duration_s:.1f} s"
    shared, popular = _shared_visits(traffic, segments)
    expected = traffic.hot_share * shared
    if abs(popular - expected) > _slack(expected, expected * (1 - traffic.hot_share)):
        yield f"{popular} of {shared} for the most popular link"


def _shared_visits(traffic: Traffic, segments: Sequence[Segment]) -> tuple[int, int]:
    """Visits to shared links that only read, and those of them to the most popular one."""
    if _changes_links(traffic):
        return 0, 0  # a writer takes the next link that nobody else is writing
    ranks = []
    for segment in segments:
        _, first = np.unique(segment.requests.session, return_index=True)
        rank = segment.requests.rank[first]
        ranks.append(rank[rank < traffic.keys])
    shared = np.concatenate(ranks)
    return len(shared), int((shared == 0).sum())


def _duration_s(segments: Sequence[Segment]) -> float:
    return sum(segment.ended_s - segment.started_s for segment in segments)


def _slack(expected: float, variance: float) -> float:
    return max(SIGMAS * sqrt(variance), NEAR_ENOUGH * expected)


def samples_are_whole(experiment: Experiment, evidence: Evidence) -> Finding:
    """Every counter was read without gaps, never fell, and rose no further than its total.

    An act may stop or hang the part whose counter it is. A counter that was read may have longer
    gaps if no measure reads its course, only how far it rose.
    """
    series = {measure.series for measure in (*experiment.measures, *experiment.costs)}
    gaps_s = {
        name: SAMPLE_GAP_S if any(_is_of(name, one) for one in series) else UNREAD_GAP_S
        for segment in evidence.all_segments
        for name in _sampled(segment)
    }
    odd = [
        f"{segment.arm}: {name}: {why}"
        for segment in evidence.all_segments
        for hit in [_hit(experiment, segment)]
        for name in _sampled(segment)
        if (why := _odd_samples(segment, name, hit, gaps_s[name])) is not None
    ]
    count = sum(len(s.samples.of(name)[0]) for s in evidence.all_segments for name in _sampled(s))
    return guard("the counters were read throughout", odd, f"{count} readings", seen=count)


def _is_of(name: str, series: str) -> bool:
    """True if a counter is of a series: `web-1.look_ups` is of `web.look_ups`, and of itself."""
    (own, _, figure), (part, _, wanted) = (each.rpartition(".") for each in (name, series))
    return figure == wanted and (part in ("", own) or own.startswith(f"{part}-"))


def _sampled(segment: Segment) -> Sequence[str]:
    """Counters that are sampled and read at rest, too."""
    names = {*segment.samples.t_s, *REQUIRED_SAMPLES}
    return sorted(name for name in names if name in segment.counted or name in REQUIRED_SAMPLES)


def _hit(experiment: Experiment, segment: Segment) -> Mapping[str, Sequence[tuple[float, float]]]:
    """The spans in which an act could have stopped or hung each part."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for act in segment.acts:
        for part in _hits_of(experiment, act.act):
            begun_s = act.injected_s if act.begun_s is None else act.begun_s
            end_s = segment.ended_s if act.healed_s is None else act.healed_s + SAMPLE_GAP_S
            spans.setdefault(part, []).append((begun_s, end_s))
    return spans


def _hits_of(experiment: Experiment, name: str) -> frozenset[str]:
    acts = [at.act for arm in experiment.arms for at in experiment.timeline_of(arm)]
    return frozenset().union(*(act.hits for act in acts if act.name == name))


def _odd_samples(
    segment: Segment, name: str, hit: Mapping[str, Sequence[tuple[float, float]]], gap_s: float
) -> str | None:
    t_s, values = segment.samples.of(name)
    start_s, end_s = segment.started_s, segment.ended_s
    edges_s = np.clip(np.concatenate([[start_s], t_s, [end_s]]), start_s, end_s)
    for gap in np.flatnonzero(np.diff(edges_s) > (gap_s if len(t_s) else SAMPLE_GAP_S)):
        earlier_s, later_s = edges_s[gap : gap + 2]
        excused = any(a <= later_s and earlier_s <= b for a, b in hit.get(part_of(name), []))
        if not excused:
            return f"no reading for {later_s - earlier_s:.1f} s"
    total = segment.counted.get(name)
    if total is None:
        return "it was not read at rest"
    if isnan(total) and part_of(name) in hit:
        return None
    if isnan(total) or (np.diff(values) < 0).any() or total < 0:
        return "the counter fell"
    if len(values) and values[-1] - values[0] > total:
        return "it rose further than it moved in all"
    return None


def parts_lived_on(experiment: Experiment, evidence: Evidence) -> Finding:
    """Parts began anew only where an act stopped them, and only their counts are unknown."""
    odd = [
        f"{segment.arm}: {part}"
        for segment in evidence.all_segments
        for part in _begun_anew(segment) - _hit(experiment, segment).keys()
    ]
    starts = [
        v for s in evidence.all_segments for n, v in s.counted.items() if n.endswith(".starts")
    ]
    fine = f"{sum(starts):g} began anew, as planned"
    return guard("no part died unplanned", odd, fine, seen=len(starts))


def _begun_anew(segment: Segment) -> Set[str]:
    """Parts that began anew by their starts, or of which a count is unknown."""
    return {
        part_of(name)
        for name, value in segment.counted.items()
        if isnan(value) or (name.endswith(".starts") and value)
    }


def figures_are_known(measures: Sequence[Measure], rows: Mapping[str, ArmResult]) -> Finding:
    """Every measure of every arm has a figure: what was not measured proves nothing."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for arm in rows.values():
        for why, titles in _without_figure(measures, arm).items():
            lacking.setdefault((", ".join(titles), why), []).append(arm.name)
    odd = [f"{', '.join(arms)}: no {what}, since {why}" for (what, why), arms in lacking.items()]
    text = "every measure of every arm has a figure"
    return guard(text, odd, f"{len(rows)} arms", seen=len(rows))


def _without_figure(measures: Sequence[Measure], arm: ArmResult) -> Mapping[str, Sequence[str]]:
    """Titles of an arm's measures without a figure, by reason."""
    titles: dict[str, list[str]] = {}
    for measure in measures:
        if not arm.measures[measure.name].known:
            titles.setdefault(measure.without, []).append(measure.title)
    return titles
