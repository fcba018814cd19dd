"""Checks of the answers: what each says, and when it came, against accounts of another source.

Where an answer leads is compared with what the writer asked for; what it says of itself (its age,
where it was served from) with the look-ups that web processes logged; its latency with the
gateway's own clock. All bounds but one follow from the order of events, whatever the machine's
load; `EXCESS_MS` says which one does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaos.judge.findings import guard
from chaos.model.evidence import (
    Evidence,
    Finding,
    Floats,
    Ints,
    LookUps,
    Requests,
    Segment,
    Strings,
    Verdict,
)
from chaos.model.experiment import Experiment
from chaos.model.stack import Settings

ROUNDING_S = 1e-4  # an age has one decimal of a millisecond, times on record have six of a second
STALL_S = 1.0
GATEWAY_TURN_MS = 5.0
EXCESS_MS, EXCESS_SHARE = 20.0, 0.05  # of what the gateway took: hundreds that wait cost time, too
BUSY_EXCESS_MS = 50.0  # no experiment here claims less
CLIENT_GONE = 499
WEB, GATEWAY = "web-", "nginx"
OWN_LOOK_UP, SHARED_LOOK_UP = ("miss", "early"), "wait"
FROM_CACHE, AFTER_ITS_TIME = ("hit", "near"), "stale"

Bools = NDArray[np.bool_]


def answers_are_right(_: Experiment, evidence: Evidence) -> Finding:
    """Each redirect, and each link held at the end, has the target that its writer asked for, and
    each good answer the status of its operation.

    Links that nobody on record has written are damage, not a failure.
    """
    seen, text = evidence.answers, "every link leads where its writer said"
    wrong = {
        "redirects to a wrong target": seen.misled,
        "links held with a wrong target": seen.misheld,
        "answers with a wrong status": seen.odd_statuses,
    }
    if any(wrong.values()):
        counts = ", ".join(f"{count} {what}" for what, count in wrong.items() if count)
        return Finding(text, Verdict.FAIL, "; ".join([counts, *seen.examples]))
    if seen.unwritten or not seen.followed:
        observed = f"{seen.unwritten} answers about links that nobody on record has written"
        return Finding(text, Verdict.INVALID, observed if seen.unwritten else "no redirect at all")
    observed = f"{seen.followed} redirects and {seen.held} links at the end do"
    return Finding(text, Verdict.PASS, observed)


def answers_came_in_time(experiment: Experiment, evidence: Evidence) -> Finding:
    """No request has an answer, or is given up, later than the client's timeout after it was sent.

    A process that is not running cannot give up: by its largest lag and `STALL_S` it may be later.
    """
    odd, longest_s, count = [], 0.0, 0
    for segment in evidence.all_segments:
        requests = segment.requests
        if not len(requests):
            continue
        count += len(requests)
        took_s = float((requests.done_s - requests.sent_s).max())
        stalled_s = STALL_S + max(0.0, float((requests.sent_s - requests.intended_s).max()))
        timeout_s = experiment.traffic_in(segment).timeout_s
        longest_s = max(longest_s, took_s)
        if not took_s <= timeout_s + stalled_s:
            odd.append(f"{segment.arm}: {took_s:.2f} s, with a timeout of {timeout_s:g} s")
    text, fine = "no answer came later than its timeout", f"the longest took {longest_s:.2f} s"
    return guard(text, odd, fine, seen=count)


def answers_fit_look_ups(experiment: Experiment, evidence: Evidence) -> Finding:
    """Each redirect's age and source fit a look-up on record; each value stored, a request.

    A web process that an act stops may take lines of its log with it: where one is planned,
    nothing is asked.
    """
    odd, count = [], 0
    for segment in evidence.all_segments:
        if _hits(experiment, segment, WEB):
            continue
        served = _Served.of(segment)
        count += len(served)
        odd += [f"{segment.arm}: {number} {what}" for what, number in _unfit(served, segment)]
    text = "every redirect's age and source fit a look-up"
    return guard(text, odd, f"all {count} do", seen=count)


def gateway_agrees(experiment: Experiment, evidence: Evidence) -> Finding:
    """The gateway answered as many redirects with each status as the client counts, and took no
    longer than the client had to wait.

    A request without an answer may or may not have reached it. Where an act stops the gateway,
    nothing is asked.
    """
    odd, count = [], 0
    for segment in evidence.all_segments:
        if _hits(experiment, segment, GATEWAY):
            continue
        count += len(segment.gateway)
        odd += [f"{segment.arm}: {why}" for why in _other_account(segment)]
    text = "the gateway's log has the same redirects"
    return guard(text, odd, f"{count} in both", seen=count)


# --- age and source ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Served:
    """The good redirects of a segment that say when their value was read."""

    rank: Ints
    sent_s: Floats
    done_s: Floats
    age_s: Floats
    source: Strings

    @staticmethod
    def of(segment: Segment) -> _Served:
        requests = segment.requests
        every = _Served(
            rank=requests.rank,
            sent_s=requests.sent_s,
            done_s=requests.done_s,
            age_s=requests.age_ms / 1000,
            source=requests.served_from,
        )
        return every.only(_good_follows(requests) & np.isfinite(every.age_s))

    def only(self, keep: Bools) -> _Served:
        """Some of them."""
        return _Served(**{name: column[keep] for name, column in vars(self).items()})

    def __len__(self) -> int:
        return len(self.rank)


def _good_follows(requests: Requests) -> Bools:
    good: Bools = (requests.operation == "follow") & (requests.outcome == "ok")
    return good


def _unfit(served: _Served, segment: Segment) -> Iterator[tuple[str, int]]:
    """What does not fit, with a count, for each kind that is there."""
    ours = _answered(segment)
    counts = {
        "redirects of an age at which nobody looked up": _without_a_reading(served, ours),
        "redirects that say they looked up, but did not": _without_their_own(served, ours),
        "redirects that say they waited for a look-up, but there was none": _alone(served, ours),
        "look-ups more than requests that made them": _nobodys(segment),
        "requests more than the look-ups they made": _too_few(served, segment),
        "redirects that say stale, but were not": _too_young(served, segment.settings),
        "redirects that say fresh, but were not": _too_old(served, ours, segment.settings),
    }
    yield from ((what, count) for what, count in counts.items() if count)


def _answered(segment: Segment) -> LookUps:
    """Look-ups of the segment's links that got an answer, those before it included."""
    both = (segment.made_ready, segment.look_ups)
    columns = {
        name: np.concatenate([getattr(own, name) for own in both])
        for name in LookUps.__dataclass_fields__
    }
    keep = ~columns["failed"] & (columns["rank"] >= 0)
    return LookUps(**{name: column[keep] for name, column in columns.items()})


def _without_a_reading(served: _Served, ours: LookUps) -> int:
    """Redirects whose age points to a moment at which no look-up took its time.

    An age counts from just before the query was sent, after the cache was read; it was told
    between the request and its answer.
    """
    reads = served.sent_s - served.age_s, served.done_s - served.age_s
    return int((~_overlap(ours.rank, ours.read_s, ours.asked_s, served.rank, *reads)).sum())


def _without_their_own(served: _Served, ours: LookUps) -> int:
    """Redirects with a look-up of their own, for which none lies between request and answer."""
    own = served.only(np.isin(served.source, OWN_LOOK_UP))
    inside = _overlap(ours.rank, -ours.read_s, -ours.answered_s, own.rank, -own.done_s, -own.sent_s)
    return int((~inside).sum())


def _alone(served: _Served, ours: LookUps) -> int:
    """Redirects that waited for another's look-up, while none was under way.

    One that missed the cache did so before the value was stored; when a value was that never was
    stored as far as the web process knows, is not known.
    """
    waited = served.only(served.source == SHARED_LOOK_UP)
    until_s = np.where(np.isnan(ours.stored_s), np.inf, ours.stored_s)
    during = _overlap(ours.rank, ours.read_s, until_s, waited.rank, waited.sent_s, waited.done_s)
    return int((~during).sum())


def _nobodys(segment: Segment) -> int:
    """Values stored beyond the requests for the same link that may have looked them up.

    A look-up in the background is begun by a request that is served stale; what a request did that
    has no good answer is not known. No request stores two.
    """
    requests, look_ups = segment.requests, segment.look_ups
    follows = requests.operation == "follow"
    makers = np.isin(requests.served_from, [*OWN_LOOK_UP, AFTER_ITS_TIME])
    makers |= requests.outcome != "ok"
    stored = ~np.isnan(look_ups.stored_s) & ~look_ups.failed & (look_ups.rank >= 0)
    return _beyond(look_ups.rank[stored], requests.rank[follows & makers])


def _too_few(served: _Served, segment: Segment) -> int:
    """Redirects with a look-up of their own beyond the look-ups of the same link."""
    own, look_ups = np.isin(served.source, OWN_LOOK_UP), segment.look_ups
    return _beyond(served.rank[own], look_ups.rank[~look_ups.failed])


def _beyond(these: Ints, those: Ints) -> int:
    """How many more of these there are than of those, link by link."""
    links, place = np.unique(np.concatenate([these, those]), return_inverse=True)
    mine, theirs = np.split(place, [len(these)])
    more = np.bincount(mine, minlength=len(links)) - np.bincount(theirs, minlength=len(links))
    return int(np.maximum(more, 0).sum())


def _too_young(served: _Served, settings: Settings) -> int:
    """Redirects said to be served after their time to live that were younger than that."""
    least_s, _ = _time_to_live_s(settings)
    stale = served.source == AFTER_ITS_TIME
    return int((served.age_s[stale] < least_s - ROUNDING_S).sum())


def _too_old(served: _Served, ours: LookUps, settings: Settings) -> int:
    """Redirects from the cache that were older than their time to live when it was read.

    It counts from the moment at which the value was sent to the cache.
    """
    _, most_s = _time_to_live_s(settings)
    cached = served.only(np.isin(served.source, FROM_CACHE))
    links = np.unique(np.concatenate([ours.rank, cached.rank]))
    on_the_way_s = np.zeros(len(links))
    storing_s = np.where(np.isnan(ours.stored_s), np.inf, ours.stored_s - ours.read_s)
    np.maximum.at(on_the_way_s, np.searchsorted(links, ours.rank), storing_s)
    allowed_s = most_s + on_the_way_s[np.searchsorted(links, cached.rank)]
    youngest_s = cached.age_s - (cached.done_s - cached.sent_s)
    return int((youngest_s > allowed_s + ROUNDING_S).sum())


def _time_to_live_s(settings: Settings) -> tuple[float, float]:
    """The shortest and the longest time that a value is fresh; any, where defaults are in force."""
    if "CACHE_TTL_S" not in settings or "CACHE_TTL_JITTER" not in settings:
        return 0.0, np.inf
    ttl_s, jitter = float(settings["CACHE_TTL_S"]), float(settings["CACHE_TTL_JITTER"])
    return ttl_s * (1 - jitter), ttl_s * (1 + jitter)


def _overlap(
    of_group: Ints, begins: Floats, ends: Floats, group: Ints, since: Floats, until: Floats
) -> Bools:
    """True where some span of the same group is not over by `since` and has begun by `until`.

    Groups come one after the other on one axis, further apart than any two times.
    """
    if not len(group) or not len(of_group):
        return np.zeros(len(group), dtype=np.bool_)
    known_s = np.concatenate([begins, ends[np.isfinite(ends)]])
    first, last = float(known_s.min()) - 1, float(known_s.max()) + 1
    step = last - first + 1
    groups = np.unique(np.concatenate([of_group, group]))
    base, own_base = (np.searchsorted(groups, these) * step for these in (of_group, group))
    order = np.argsort(base + begins)
    begin = (base + begins)[order]
    over = np.maximum.accumulate((base + np.clip(ends, first, last))[order])
    begun = np.searchsorted(begin, own_base + np.clip(until + ROUNDING_S, first, last), "right")
    over = np.concatenate([[-np.inf], over])[begun]
    found: Bools = over >= own_base + np.clip(since - ROUNDING_S, first, last)
    return found


# --- the gateway -------------------------------------------------------------------------------


def _other_account(segment: Segment) -> Iterator[str]:
    """How the gateway's account of the follows differs from the client's."""
    requests, gateway = segment.requests, segment.gateway
    follows = requests.operation == "follow"
    answered = follows & (requests.status > 0)
    unsure = int((follows & (requests.outcome == "unknown")).sum())
    others = False
    for status in np.unique(np.concatenate([requests.status[answered], gateway.status])):
        client = int((requests.status[answered] == status).sum())
        logged = int((gateway.status == status).sum())
        if not client <= logged <= client + unsure:
            yield f"{logged} answers with status {status} in its log, {client} at the client"
            others = True
    if others:
        return
    took_ms = (requests.done_s - requests.sent_s)[answered] * 1000
    own_ms = gateway.took_ms[gateway.status != CLIENT_GONE]
    yield from _odd_latencies(took_ms, own_ms, _excess_ms(requests))


def _excess_ms(requests: Requests) -> float:
    """Return how late answers may be read: as late as requests leave, within bounds."""
    late_ms = 1000 * (requests.sent_s - requests.intended_s)
    typical_ms = float(np.quantile(late_ms, 0.95)) if len(late_ms) else 0.0
    return min(max(typical_ms, EXCESS_MS), BUSY_EXCESS_MS)


def _odd_latencies(client_ms: Floats, gateway_ms: Floats, most_ms: float) -> Iterator[str]:
    """Answers that the client had before the gateway gave them, or long after.

    If no single answer has a shorter latency than the gateway took for it, then neither has the
    n-th shortest: the two accounts need not be matched. The gateway's clock stands still while its
    loop turns once, and counts in milliseconds. Answers beyond the client's count are those to
    clients who had given up, and took longest.
    """
    count = min(len(client_ms), len(gateway_ms))
    if not count:
        return
    client_ms, gateway_ms = np.sort(client_ms)[:count], np.sort(gateway_ms)[:count]
    too_short_ms = float((gateway_ms - client_ms).max())
    if too_short_ms > 1 + GATEWAY_TURN_MS:
        yield f"an answer took {too_short_ms:.1f} ms longer in its log than at the client"
    excess_ms = client_ms - gateway_ms
    long = excess_ms > np.maximum(most_ms, EXCESS_SHARE * gateway_ms)
    if 2 * long.sum() > count:
        typical_ms = float(np.median(excess_ms[long]))
        yield f"the client waited {typical_ms:.1f} ms longer for half of the answers"


def _hits(experiment: Experiment, segment: Segment, part: str) -> bool:
    """True if an act is planned in the segment that stops or hangs such a part."""
    hits = [hit for at in experiment.timeline_in(segment) for hit in at.act.hits]
    return any(hit.startswith(part) for hit in hits)
