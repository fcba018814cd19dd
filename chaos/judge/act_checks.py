"""Checks that what was done to the stack is what was planned, by accounts other than the acts' own:
the state of parts and links, and the traffic that an act should touch or leave alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise
from typing import get_args

import numpy as np

from chaos.judge.findings import guard
from chaos.model.evidence import (
    PROMOTING,
    ActEvidence,
    Evidence,
    Finding,
    Floats,
    Segment,
    StateReading,
)
from chaos.model.experiment import Act, Experiment
from chaos.model.stack import THIRD, Link, PartName, ServerName, servers_asked
from chaos.model.testimony import Span, Witnesses

STATE_GAP_S = 2.0  # no act is shorter than its probes, and a busy engine may take a while to tell
QUIET_MS = 20.0  # by which the quickest of many may differ: noise does not delay all of them
MANY = 10
TOXIPROXY = "toxiproxy"

Mark = tuple[str, str]  # a part or link, and its state


# --- the state of parts and links ----------------------------------------------------------------


def state_was_as_planned(experiment: Experiment, evidence: Evidence) -> Finding:
    """At every reading exactly the toxics, cuts and stopped parts of the acts in force are there.

    An act that is just being injected or undone may be there or not.
    """
    odd = [
        f"{segment.arm}: {why}"
        for segment in evidence.all_segments
        for why in [*_odd_states(experiment, segment), *_unwatched(segment)]
    ]
    count = sum(len(segment.states) for segment in evidence.all_segments)
    return guard(
        "only the planned acts were in force, each all the time",
        odd,
        f"{count} readings of all parts and links",
        seen=count,
    )


def _odd_states(experiment: Experiment, segment: Segment) -> Iterator[str]:
    timeline = experiment.timeline_in(segment)
    acts = [(seen, _known(experiment, segment, seen)) for seen in segment.acts]
    known = [(seen, act) for seen, act in acts if act is not None]
    for seen, _ in known:
        due_s = [segment.started_s + at.second for at in timeline if at.act.name == seen.act]
        if not _began_when(seen, due_s[0] if due_s[0] > segment.started_s else -math.inf):
            yield f"{seen.act} began when it was not due"
            return
    for reading in segment.states:
        blind = any(TOXIPROXY in act.puts and _touches(seen, reading) for seen, act in known)
        if lacking := _unread(reading, blind, servers_asked(segment.settings)):
            yield f"no state of {', '.join(sorted(lacking))}"
        there = {
            (thing, mark) for thing, mark in _marks(reading) if not (blind and _is_link(thing))
        }
        may = _puts((seen, act) for seen, act in known if _touches(seen, reading))
        may |= {mark for seen, act in known if _touches(seen, reading) for mark in act.brings}
        must = _puts((seen, act) for seen, act in known if _covers(seen, reading))
        yield from (f"{thing} was {mark}" for thing, mark in sorted(there - may))
        yield from (
            f"{thing} was not {mark} all the time"
            for thing, mark in sorted(must - there)
            if not (blind and _is_link(thing))
        )


def _began_when(seen: ActEvidence, due_s: float) -> bool:
    return seen.begun_s is not None and due_s <= seen.begun_s <= seen.injected_s


def _unwatched(segment: Segment) -> Iterator[str]:
    """The state was read before the first act, after the last, and often between."""
    times = sorted((reading.from_s, reading.to_s) for reading in segment.states)
    begun_s = [act.begun_s for act in segment.acts if act.begun_s is not None]
    healed_s = [act.healed_s for act in segment.acts if act.healed_s is not None]
    if not times or times[0][1] > min([segment.started_s, *begun_s]):
        yield "its state was not read before"
    if not times or times[-1][0] < max([segment.ended_s, *healed_s]):
        yield "its state was not read after"
    edges = [segment.started_s, *(to_s for _, to_s in times), segment.ended_s]
    inside = [min(max(t_s, segment.started_s), segment.ended_s) for t_s in edges]
    if (gap_s := max(later - earlier for earlier, later in pairwise(sorted(inside)))) > STATE_GAP_S:
        yield f"its state was not read for {gap_s:.1f} s"


def _marks(reading: StateReading) -> Set[Mark]:
    """Everything that is not as it should be in a stack without acts."""
    parts = {(part, state) for part, state in reading.parts.items() if state != "up"}
    return parts | {(f"{link} link", s) for link, states in reading.links.items() for s in states}


def _unread(reading: StateReading, blind: bool, servers: int) -> Set[str]:
    links = {f"{link} link" for link in {*get_args(Link)} - {*reading.links}}
    parts = {*get_args(PartName)} - ({THIRD} if servers < 3 else set())
    return (parts - {*reading.parts}) | (set() if blind else links)


def _puts(acts: Iterable[tuple[ActEvidence, Act]]) -> Set[Mark]:
    """Marks that acts put on parts and links; on the server in place of the role that it had."""
    return {
        (seen.roles.get(thing, thing), mark)
        for seen, act in acts
        for thing, mark in act.puts.items()
    }


def _is_link(thing: str) -> bool:
    return thing.endswith(" link")


def _touches(seen: ActEvidence, reading: StateReading) -> bool:
    """True if the act could have been in force at the moment of the reading."""
    begun_s = seen.injected_s if seen.begun_s is None else seen.begun_s
    healed_s = math.inf if seen.healed_s is None else seen.healed_s
    return begun_s <= reading.to_s and reading.from_s <= healed_s


def _covers(seen: ActEvidence, reading: StateReading) -> bool:
    """True if the act was in force at that moment."""
    lifted_s = math.inf if seen.lifted_s is None else seen.lifted_s
    return seen.injected_s < reading.from_s and reading.to_s < lifted_s


# --- the traffic that an act touches -------------------------------------------------------------


def acts_show_in_traffic(experiment: Experiment, evidence: Evidence) -> Finding | None:
    """Nothing that an act should touch went on as if it were not in force, in no arm.

    Where nothing was there to be touched, as everything came from a memory, that is said.
    """
    if not any(experiment.timeline_of(arm) for arm in experiment.arms):
        return None
    told = [*_testimonies(experiment, evidence)]
    odd = [
        f"{segment.arm}: {seen.act}: of {one.count} {one.of} {one.against}"
        for segment, seen, one in told
        if one.against
    ]
    acts = [(s, a) for s in evidence.segments for a in s.acts if _known(experiment, s, a)]
    counts: Counter[tuple[str, str]] = Counter({(s.arm, a.act): 0 for s, a in acts})
    for segment, seen, one in told:
        counts[segment.arm, seen.act] += one.count
    without = [f"none of {act} in {arm}" for (arm, act), count in counts.items() if not count]
    observed = f"{sum(counts.values())} witnesses of {len(acts)} acts"
    text = "all that an act should touch was touched by it"
    return guard(text, odd, "; ".join([observed, *without]), seen=len(acts))


def _testimonies(
    experiment: Experiment, evidence: Evidence
) -> Iterator[tuple[Segment, ActEvidence, Witnesses]]:
    """Yield the witnesses of each act, until a promotion has another server answer."""
    for segment in evidence.segments:
        for seen in segment.acts:
            act = _known(experiment, segment, seen)
            if act is not None and seen.lifted_s is not None:
                moved_s = segment.moment(PROMOTING)
                span = Span(seen.injected_s, float(np.nanmin([seen.lifted_s, moved_s])))
                for one in act.testimony(segment, span, evidence.control[-1:]):
                    yield segment, seen, one


def _known(experiment: Experiment, segment: Segment, seen: ActEvidence) -> Act | None:
    """The act of that name that is planned for the segment; none is for the control."""
    acts = [at.act for at in experiment.timeline_in(segment) if at.act.name == seen.act]
    return acts[0] if acts else None


# --- the traffic that no act touches -------------------------------------------------------------


def rest_was_quiet(experiment: Experiment, evidence: Evidence) -> Finding:
    """What no act of an arm touches is as quick as in the control.

    Of many look-ups and redirects from the cache the quickest is compared, which no noise slows.
    """
    odd, compared = [], 0
    quiet_ms = {what: _quickest_ms(what, evidence.control[-1:]) for what in TOUCHED_BY}
    for segment in evidence.segments:
        touched = {thing for at in experiment.timeline_in(segment) for thing in at.act.puts}
        for what, things in TOUCHED_BY.items():
            own_ms = _took_ms(what, segment)
            if touched & things or len(own_ms) < MANY or math.isnan(quiet_ms[what]):
                continue
            compared += len(own_ms)
            if own_ms.min() > quiet_ms[what] + QUIET_MS:
                odd.append(
                    f"{segment.arm}: {what}: the quickest took {own_ms.min():.0f} ms,"
                    f" in the control {quiet_ms[what]:.0f} ms"
                )
    text = "what no act touches was as quick as in the control"
    fine = f"{compared} look-ups and redirects compared"
    return guard(text, odd, fine, seen=len(evidence.segments))


TOUCHED_BY: Mapping[str, Set[str]] = {
    "look-ups on the primary": {"primary", *get_args(ServerName), "primary link", TOXIPROXY},
    "look-ups on the replica": {"replica", *get_args(ServerName), "replica link", TOXIPROXY},
    "redirects from the cache": {
        *("redis", "cache link", TOXIPROXY, "nginx", "web-1", "web-2"),
    },
}


def _quickest_ms(what: str, control: Sequence[Segment]) -> float:
    """The quickest of many in the control; NaN of none."""
    return min((float(ms.min()) for s in control if len(ms := _took_ms(what, s))), default=math.nan)


def _took_ms(what: str, segment: Segment) -> Floats:
    """How long each look-up on a database took, or each redirect from the cache."""
    look_ups, requests = segment.look_ups, segment.requests
    took_ms: Floats
    if what == "redirects from the cache":
        hits = (requests.served_from == "hit") & (requests.outcome == "ok")
        took_ms = 1000 * (requests.done_s - requests.sent_s)[hits]
    else:
        own = (look_ups.db == what.split()[-1]) & ~look_ups.failed
        took_ms = 1000 * (look_ups.answered_s - look_ups.asked_s)[own]
    return took_ms
