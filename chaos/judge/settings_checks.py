"""Checks that what was planned was in force, by the settings and roles that parts report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from math import isnan

import numpy as np

from chaos.judge.findings import guard
from chaos.model.evidence import Evidence, Finding, InForce, Segment
from chaos.model.experiment import Act, Experiment, Timeline
from chaos.model.stack import roles_asked
from chaos.model.traffic import Traffic

MOMENTS = ("before", "after")
TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
UNITS = {"kb": 2**10, "mb": 2**20, "gb": 2**30}  # of Redis, which answers in bytes


def settings_were_in_force(_: Experiment, evidence: Evidence) -> Finding:
    """Before and after each segment every process had the settings of its arm.

    What an arm does not set is the same in all web processes, and in all segments.
    """
    odd = [
        f"{segment.arm}: {why}" for segment in evidence.all_segments for why in _not_set(segment)
    ]
    odd += _changed_by_nobody(evidence)
    count = sum(
        len(own)
        for segment in evidence.all_segments
        for moment in segment.in_force
        for own in moment.settings.values()
    )
    text = "every process ran with the settings of its arm"
    return guard(text, odd, f"{count} read", seen=count)


def _not_set(segment: Segment) -> Iterator[str]:
    """Settings that parts report otherwise than planned, or do not report."""
    if len(segment.in_force) != len(MOMENTS):
        yield "the settings in force are not on record"
    for when, moment in zip(MOMENTS, segment.in_force, strict=False):
        webs = _webs(moment)
        if len(webs) != segment.web_processes:
            yield f"{len(webs)} web processes reported their settings {when} it"
        if len({frozenset(own) for own in webs.values()}) > 1:
            yield f"web processes reported different settings {when} it"
        for name, planned in segment.settings.items():
            seen = {part: own[name] for part, own in moment.settings.items() if name in own}
            if not seen:
                yield f"no process reported {name} {when} it"
            for part, value in seen.items():
                if not same(planned, value):
                    yield f"{part} had {name}={value} {when} it, not {planned}"


def _changed_by_nobody(evidence: Evidence) -> Iterator[str]:
    """Settings that an arm leaves alone and that have several values."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for segment in evidence.all_segments:
        for moment in segment.in_force:
            for part, own in moment.settings.items():
                kind = part.partition("-")[0]
                for name in own.keys() - segment.settings.keys():
                    where = f"{part} in {segment.arm}"
                    found.setdefault((kind, name), {}).setdefault(own[name], where)
    for (_, name), values in sorted(found.items()):
        if len(values) > 1:
            yield f"{name} was " + ", ".join(f"{v} ({where})" for v, where in values.items())


def same(planned: str, reported: str) -> bool:
    """True if two values of a setting mean the same: numbers as numbers, switches as switches."""
    one, other = planned.strip().lower(), reported.strip().lower()
    if other in {"true", "false", "on", "off"}:
        return one in (TRUE if other in TRUE else FALSE)
    numbers = _number(one), _number(other)
    if not any(map(isnan, numbers)):
        return numbers[0] == numbers[1]
    return planned.strip() == reported.strip()


def _number(value: str) -> float:
    """The number that a value is; NaN if it is none."""
    unit = UNITS.get(value[-2:], 1)
    try:
        return float(value[:-2] if unit > 1 else value) * unit
    except ValueError:
        return float("nan")


def roles_were_kept(_: Experiment, evidence: Evidence) -> Finding:
    """Before and after each segment the primary led, and the replica followed that primary.

    So did the standby, where an arm asks for three servers.
    """
    odd = [
        f"{segment.arm}: {name} was {'yes' if moment.roles.get(name) else 'no'} {when} it"
        for segment in evidence.all_segments
        for when, moment in zip(MOMENTS, segment.in_force, strict=False)
        for name, wanted in _roles_of(segment).items()
        if moment.roles.get(name) is not wanted
    ]
    count = sum(len(segment.in_force) for segment in evidence.all_segments)
    return guard("the replica followed the primary", odd, f"{count} times it did", seen=count)


def _roles_of(segment: Segment) -> Mapping[str, bool]:
    """The expected readings of the roles, by how many servers the segment asked for."""
    primary, *followers = roles_asked(segment.settings)
    follow = {f"{role}.{what}": True for role in followers for what in ("in_recovery", "streams")}
    return {f"{primary}.in_recovery": False, **follow}


# --- answers -------------------------------------------------------------------------------------

EXCLUDED_BY = {"replica": "primary", "primary": "replica"}  # by values of READ_FROM
WAITS = {"singleflight", "lock", "lease", "swr"}  # without them only readers without a cache wait


def answers_were_possible(_: Experiment, evidence: Evidence) -> Finding:
    """Nothing was served from where the settings in force serve nothing, nor looked up where they
    look up nothing."""
    odd, answers = [], 0
    for segment in evidence.all_segments:
        served_from = segment.requests.served_from
        answers += int((served_from != "").sum())
        for label, most in _most_served(segment).items():
            if (count := int((served_from == label).sum())) > most:
                odd.append(f"{segment.arm}: {count} {label}, where at most {most:g} can be")
        read_from = _in_force(segment, "READ_FROM")
        beyond = {"primary"} if _some_positive(segment, "READ_LAG_MAX_S") else set()  # the bound
        for database, excluded in EXCLUDED_BY.items():
            count = int((segment.look_ups.db == database).sum())
            if count and read_from == {excluded} and database not in beyond:
                odd.append(f"{segment.arm}: {count} look-ups on the {database}, where none can be")
    text = "every answer can come of the settings in force"
    return guard(text, odd, f"{answers} answers", seen=answers)


def _most_served(segment: Segment) -> Mapping[str, float]:
    """The most answers that there may be, by where they say they come from.

    A reader that could not use the cache may wait for another one; each such use is counted.
    """
    most: dict[str, float] = {}
    strategies = _in_force(segment, "CACHE_FILL")
    if (
        strategies
        and not strategies & WAITS
        and not isnan(failures := segment.count("web.cache_failures"))
    ):
        most["wait"] = failures
    if strategies and "xfetch" not in strategies:
        most["early"] = 0
    if strategies and "swr" not in strategies and _all_zero(segment, "STALE_IF_ERROR_S"):
        most["stale"] = 0
    if _all_zero(segment, "NEAR_CACHE_TTL_S"):
        most["near"] = 0
    return most


def _all_zero(segment: Segment, name: str) -> bool:
    values = _in_force(segment, name)
    return bool(values) and all(_number(value) == 0 for value in values)


def _some_positive(segment: Segment, name: str) -> bool:
    return any(_number(value) > 0 for value in _in_force(segment, name))


def _in_force(segment: Segment, name: str) -> Set[str]:
    """All values of a setting that web processes reported."""
    return {
        own[name] for moment in segment.in_force for own in _webs(moment).values() if name in own
    }


def _webs(moment: InForce) -> Mapping[str, Mapping[str, str]]:
    return {part: own for part, own in moment.settings.items() if part.startswith("web-")}


# --- what is kept in the cache -------------------------------------------------------------------

LASTS = "no cached link was looked up again before its time"
CLOCK_S = 0.005  # by which the clock of the day and the monotonic one may move apart in a segment
STORES = {"redis", "cache link", "toxiproxy", "web-1", "web-2"}  # entries, or on the way there
ASKS_PRIMARY = {"replica-then-primary", "primary"}  # those find every link: absence is not cached


def cached_links_lasted(experiment: Experiment, evidence: Evidence) -> Finding | None:
    """A link that was stored is not looked up and stored again sooner than its shortest time.

    It does not hold of links that are changed, of readers that refresh early, nor where an act
    stops the cache or a process that stores.
    """
    plans = [(experiment.traffic_of(arm), experiment.timeline_of(arm)) for arm in experiment.arms]
    if not any(_may_keep(*plan) for plan in plans):
        return None
    lasting = [s for s in evidence.all_segments if _keeps_links(experiment, s)]
    odd = [
        f"{segment.arm}: {count} within {shortest_s:g} s"
        for segment in lasting
        if (shortest_s := _shortest_s(segment)) > 0
        and (count := sum(_too_soon(segment, rank, shortest_s) for rank in _ranks(segment)))
    ]
    odd += [f"{segment.arm}: nothing stored" for segment in lasting if _stored_nothing(segment)]
    stored = sum(int((~np.isnan(s.look_ups.stored_s)).sum()) for s in lasting)
    return guard(LASTS, odd, f"{stored} look-ups were stored", seen=len(evidence.all_segments))


def _stored_nothing(segment: Segment) -> bool:
    """True if links were looked up and none of them was stored, so that none could last."""
    answered = ~segment.look_ups.failed
    return bool(answered.any()) and bool(np.isnan(segment.look_ups.stored_s[answered]).all())


def _may_keep(traffic: Traffic, timeline: Timeline) -> bool:
    """True if by the plan no visit changes links, and no act touches what stores them."""
    reads = not any(visit.writes for visit in traffic.visits)
    return reads and all(_leaves_cache(at.act) for at in timeline)


def _leaves_cache(act: Act) -> bool:
    """True of an act that is known to touch other parts and links only."""
    touched = {*act.puts, *act.hits}
    return bool(touched) and not touched & STORES


def _keeps_links(experiment: Experiment, segment: Segment) -> bool:
    plan = experiment.traffic_in(segment), experiment.timeline_in(segment)
    return _may_keep(*plan) and "xfetch" not in _in_force(segment, "CACHE_FILL")


def _shortest_s(segment: Segment) -> float:
    """The shortest time that any process stores a link for; 0 if none reported one."""
    lasts = [_number(value) for value in _in_force(segment, "CACHE_TTL_S")]
    spread = [_number(value) for value in _in_force(segment, "CACHE_TTL_JITTER")]
    shortest_s = min(lasts, default=0.0) * (1 - max(spread, default=1.0))
    if _in_force(segment, "READ_FROM") <= ASKS_PRIMARY:
        return shortest_s
    absent = [_number(value) for value in _in_force(segment, "NEGATIVE_TTL_S")]
    return min([shortest_s, *absent])


def _ranks(segment: Segment) -> Sequence[int]:
    return [int(rank) for rank in np.unique(segment.look_ups.rank) if rank >= 0]


def _too_soon(segment: Segment, rank: int, shortest_s: float) -> int:
    """Look-ups of a link that were stored, though what was stored before had to be there still.

    The store that came last before a read is one that ended after all those of then had begun; it
    lasts from its answer on. One that is not known to have ended may have been that.
    """
    own = segment.look_ups.of_rank(rank)
    answered = own.answered_s[~own.failed]
    stored = np.where(np.isnan(own.stored_s), np.inf, own.stored_s)[~own.failed]
    order = np.argsort(stored)
    answered, stored = answered[order], stored[order]
    latest = np.maximum.accumulate(answered)
    first = np.minimum.accumulate(answered[::-1])[::-1]  # of this store and all that ended later
    again = ~np.isnan(own.stored_s)
    ended = np.searchsorted(stored, own.read_s[again], side="right")
    asked_s, ended = own.asked_s[again][ended > 0], ended[ended > 0]
    in_cache_s = first[np.searchsorted(stored, latest[ended - 1])]
    return int((asked_s < in_cache_s + shortest_s - CLOCK_S).sum())
