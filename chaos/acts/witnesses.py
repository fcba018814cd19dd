"""Witnesses of an act: the look-ups, requests and samples of its segment that it should touch.

Only what was begun after the act was in force, and over before it was lifted, is counted, so each
witness is a fact. A bound from above is put to the quickest of some: noise makes nothing quicker.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chaos.model.evidence import (
    ELSEWHERE,
    LAST_ANSWER,
    PROMOTED,
    PROMOTING,
    SILENT,
    Floats,
    LookUps,
    Requests,
    Segment,
)
from chaos.model.stack import Link, Target
from chaos.model.testimony import Span, Witnesses
from chaos.model.traffic import WRITES

# Values of X-Cache that this very request read from Redis. A waiter may have its value from another
# request, which queried a database, and `near` is the memory of a process.
FROM_REDIS = ("hit", "stale", "early")
ANSWERED = ("ok", "absent")
SHARE = 0.9  # of the latency; whole milliseconds are cut off here and there
SLACK_MS = 50.0  # for the quickest of `ENOUGH`: a run with requests this late is INVALID anyway
ENOUGH = 5
WATCHED_S = 0.1  # twice the period of a watchdog
CLOCK_S = 0.01
SEEN_S = 0.5  # until the lab knows of a promotion
TAKEN_S = 2.0  # a lease that is over is taken, and the server promoted, within this
STARVED_S = 0.4  # a busy machine may leave a controller without a turn for so long
SENT_S = 0.5  # from a commit until the primary has sent it


def slow(
    link: Link, latency_ms: float, segment: Segment, span: Span, control: Sequence[Segment]
) -> Sequence[Witnesses]:
    """Witnesses of a slow link: look-ups over it, redirects from the cache, replication lag."""
    match link:
        case "primary" | "replica":
            of, own, quiet = f"look-ups on the {link}", _look_ups_ms(link, segment, span), control
            return [_delayed(of, own, latency_ms, [_look_ups_ms(link, s) for s in quiet])]
        case "cache":
            own = _from_redis_ms(segment, span)
            quiet_ms = [_from_redis_ms(other) for other in control]
            return [_delayed("redirects from the cache", own, latency_ms, quiet_ms)]
        case "replication":
            return [_lagging(segment, span, latency_ms)]
        case _:
            return []


def cut(link: Link, segment: Segment, span: Span) -> Sequence[Witnesses]:
    """Witnesses of a closed link: all that would have had to pass it."""
    match link:
        case "primary":
            return [_no_look_ups(link, segment, span), _no_writes(segment, span)]
        case "replica":
            return [_no_look_ups(link, segment, span)]
        case "cache":
            return [_nothing_from_redis(segment, span)]
        case "queue":
            return [_none_counted("redis.clicks_waiting", segment, span)]
        case "worker-primary":
            return [_none_counted("primary.clicks_waiting", segment, span)]
        case "replication":
            return [_none_received(segment, span)]
        case _:
            return []


def silent(part: Target, segment: Segment, span: Span) -> Sequence[Witnesses]:
    """Witnesses of a part that was killed or paused: all that it would have had to answer."""
    match part:
        case "primary":
            return [*cut("primary", segment, span), _unread("primary.look_ups", segment, span)]
        case "replica":
            return [*cut("replica", segment, span), _unread("replica.look_ups", segment, span)]
        case "standby":
            return [_unread("standby.look_ups", segment, span)]
        case "postgres-1" | "postgres-2" | "postgres-3":
            return []  # what it answers depends on its role, which its name does not tell
        case "redis":
            return [*cut("cache", segment, span), _unread("redis.commands", segment, span)]
        case "toxiproxy":
            links: Sequence[Link] = ("primary", "replica", "cache", "queue")
            return [told for link in links for told in cut(link, segment, span)]
        case "nginx":
            return [_none_answered(segment, span)]
        case "worker":
            names = ("redis.clicks_waiting", "primary.clicks_waiting")
            return [_none_counted(name, segment, span) for name in names]
        case _:
            return [_unread(f"{part}.requests", segment, span)]


def replay_paused(segment: Segment, span: Span) -> Sequence[Witnesses]:
    """The replica never catches up with a write that was made since."""
    requests = segment.requests
    written = np.isin(requests.operation, WRITES) & (requests.outcome == "ok")
    written &= requests.sent_s >= span.from_s
    first_s = requests.done_s[written].min(initial=np.inf) + SENT_S
    values = _sampled("primary.replication_lag_bytes", segment, Span(first_s, span.to_s))
    caught_up = int((values <= 0).sum())
    against = f"{caught_up} of {len(values)} show no lag" if caught_up else ""
    return [Witnesses("readings of the replication lag", len(values), against)]


def promoted(act: str, segment: Segment) -> Sequence[Witnesses]:
    """The timelines that acknowledged writes name: a new one from the promotion on, not before."""
    requests = segment.requests
    told = np.isin(requests.operation, WRITES) & (requests.outcome == "ok")
    told &= requests.timeline > 0
    promoting_s = segment.moment(PROMOTING, act)
    of = "acknowledged writes that name a timeline"
    count = int(told.sum())
    if np.isnan(promoting_s):
        return [Witnesses(of, count, "none can be new: nothing was promoted")]
    new = told & (requests.timeline > requests.timeline[told].min(initial=np.iinfo(np.int64).max))
    if early := int((new & (requests.done_s < promoting_s)).sum()):
        return [Witnesses(of, count, f"{early} name the new one before the promotion")]
    return [Witnesses(of, count)]


def silent_for(act: str, detect_s: float, segment: Segment) -> Sequence[Witnesses]:
    """A controller that promoted gave the primary up `detect_s` after its last answer, and not
    later."""
    if np.isnan(segment.moment(PROMOTING, act)):
        return []
    took_s = segment.moment(SILENT, act) - segment.moment(LAST_ANSWER, act)
    well = detect_s - CLOCK_S <= took_s <= detect_s + STARVED_S
    known = "an unknown time" if np.isnan(took_s) else f"{took_s:.2f} s"
    against = "" if well else f"the primary was silent for {known} when it was given up"
    return [Witnesses("moments of its controller", 1, against)]


def lease_over(
    act: str, ttl_s: float, renewed_each_s: float, segment: Segment
) -> Sequence[Witnesses]:
    """A standby was promoted when the lease of the primary that another act had hit was over."""
    promoted_s = segment.moment(PROMOTED, act)
    if np.isnan(promoted_s):
        return []
    hit_s = max((each.injected_s for each in segment.acts if each.act != act), default=np.nan)
    took_s = promoted_s - hit_s
    well = ttl_s - renewed_each_s - STARVED_S <= took_s <= ttl_s + renewed_each_s + TAKEN_S
    against = "" if well else f"it was promoted {took_s:.1f} s after the primary was hit"
    return [Witnesses("promotions by a lease", 1, against)]


def left_alone(act: str, links: Sequence[Link], segment: Segment) -> Sequence[Witnesses]:
    """Links that a failover does not lead go on to the server that was the primary."""
    since_s = segment.moment(PROMOTED, act) + SEEN_S
    own = [r for r in segment.states if since_s <= r.from_s and r.to_s <= segment.ended_s]
    led = [link for link in links if any(ELSEWHERE not in r.links.get(link, ()) for r in own)]
    if not links or not own:
        return []
    against = f"{', '.join(led)} led to the new primary" if led else ""
    return [Witnesses("readings of the links that it does not lead", len(own), against)]


def after_a_loss(act: str, moment: str, least_s: float, segment: Segment) -> Sequence[Witnesses]:
    """The moment of a watchdog came no sooner than `least_s` after the act before it began."""
    at_s = segment.moment(moment, act)
    if np.isnan(at_s):
        return []
    others = [each for each in segment.acts if each.act != act]
    begun_s = [each.injected_s if each.begun_s is None else each.begun_s for each in others]
    before_s = [each_s for each_s in begun_s if each_s < at_s]
    since_s = max(before_s) if before_s else min(begun_s, default=np.inf)
    early_s = since_s + least_s - at_s
    against = f"was {early_s:.1f} s too early: {moment}" if early_s > WATCHED_S else ""
    return [Witnesses("moments of its watchdog", 1, against)]


# --- delays --------------------------------------------------------------------------------------


def _delayed(of: str, own_ms: Floats, latency_ms: float, control_ms: Sequence[Floats]) -> Witnesses:
    least_ms = SHARE * latency_ms
    quick = own_ms[own_ms < least_ms]
    if len(quick):
        return Witnesses(of, len(own_ms), f"{len(quick)} took less than {least_ms:g} ms")
    quiet_ms = min((float(ms.min()) for ms in control_ms if len(ms)), default=0.0)
    most_ms = latency_ms + quiet_ms + SLACK_MS
    if len(own_ms) >= ENOUGH and own_ms.min() > most_ms:
        return Witnesses(of, len(own_ms), f"the quickest took {own_ms.min():.0f} ms")
    return Witnesses(of, len(own_ms))


def _lagging(segment: Segment, span: Span, latency_ms: float) -> Witnesses:
    """Lags once the first change under the act was replayed: by Postgres, of its last measurement.

    Some may show a change from before, or none in an idle moment: the largest tells.
    """
    of = "readings of the replication lag"
    since = Span(span.from_s + latency_ms / 1000 + SENT_S, span.to_s)
    lags_ms = 1000 * _sampled("primary.replication_lag_s", segment, since)
    if len(lags_ms) < ENOUGH:
        return Witnesses(of, 0)
    if lags_ms.max() < SHARE * latency_ms:
        return Witnesses(of, len(lags_ms), f"the largest was {lags_ms.max():.0f} ms")
    delayed_ms = lags_ms[lags_ms >= SHARE * latency_ms].min()
    over = delayed_ms > latency_ms + SLACK_MS
    return Witnesses(of, len(lags_ms), f"the smallest was {delayed_ms:.0f} ms" if over else "")


# --- silence -------------------------------------------------------------------------------------


def _no_look_ups(db: str, segment: Segment, span: Span) -> Witnesses:
    asked = _of(db, segment.look_ups) & (segment.look_ups.asked_s >= span.from_s)
    asked &= segment.look_ups.asked_s <= span.to_s
    count = len(_look_ups_ms(db, segment, span))
    return _none(f"look-ups on the {db}", int(asked.sum()), count, "answered")


def _nothing_from_redis(segment: Segment, span: Span) -> Witnesses:
    inside = _inside(segment.requests, span) & (segment.requests.operation == "follow")
    count = len(_from_redis_ms(segment, span))
    return _none("redirects", int(inside.sum()), count, "served from the cache")


def _no_writes(segment: Segment, span: Span) -> Witnesses:
    requests = segment.requests
    writes = _inside(requests, span) & np.isin(requests.operation, WRITES)
    done = writes & (requests.outcome == "ok")
    return _none("writes", int(writes.sum()), int(done.sum()), "acknowledged")


def _none_answered(segment: Segment, span: Span) -> Witnesses:
    inside = _inside(segment.requests, span)
    done = inside & np.isin(segment.requests.outcome, ANSWERED)
    return _none("requests", int(inside.sum()), int(done.sum()), "answered")


def _unread(name: str, segment: Segment, span: Span) -> Witnesses:
    """A part's own counter is not read; one reading may have been under way."""
    count = len(_sampled(name, segment, span))
    return _none(f"readings of {name}", int(name in segment.samples.t_s), max(0, count - 1), "came")


def _none_received(segment: Segment, span: Span) -> Witnesses:
    """A replica that receives no changes stays where it is.

    The first reading may have been under way when the act began.
    """
    received = _sampled("replica.received_bytes", segment, span)[1:]
    grew = int((np.diff(received) > 0).sum())
    return _none("readings of what the replica received", len(received), grew, "grew")


def _none_counted(name: str, segment: Segment, span: Span) -> Witnesses:
    """Clicks wait until they are counted: without a worker they become no fewer.

    The first reading may have been under way when the act began.
    """
    waiting = _sampled(name, segment, span)[1:]
    fell = int((np.diff(waiting) < 0).sum())
    return _none(f"readings of {name}", int((waiting > 0).sum()), fell, "fell")


def _none(of: str, count: int, wrong: int, how: str) -> Witnesses:
    return Witnesses(of, count, f"{wrong} {how}" if wrong else "")


# --- the evidence --------------------------------------------------------------------------------


def _of(db: str, look_ups: LookUps) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    own: np.ndarray[tuple[int], np.dtype[np.bool_]] = look_ups.db == db
    return own


def _look_ups_ms(db: str, segment: Segment, span: Span | None = None) -> Floats:
    """How long each answered look-up took, asked and answered within the span."""
    look_ups = segment.look_ups
    own = _of(db, look_ups) & ~look_ups.failed
    if span is not None:
        own &= (look_ups.asked_s >= span.from_s) & (look_ups.answered_s <= span.to_s)
    took_ms: Floats = 1000 * (look_ups.answered_s - look_ups.asked_s)[own]
    return took_ms


def _from_redis_ms(segment: Segment, span: Span | None = None) -> Floats:
    """How long each redirect took that was read from Redis, sent and answered within the span."""
    requests = segment.requests
    own = np.isin(requests.served_from, FROM_REDIS) & (requests.outcome == "ok")
    if span is not None:
        own &= _inside(requests, span)
    took_ms: Floats = 1000 * (requests.done_s - requests.sent_s)[own]
    return took_ms


def _inside(requests: Requests, span: Span) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = requests.sent_s >= span.from_s
    return inside & (requests.done_s <= span.to_s)


def _sampled(name: str, segment: Segment, span: Span) -> Floats:
    t_s, values = segment.samples.of(name)
    return values[(t_s >= span.from_s) & (t_s <= span.to_s)]
