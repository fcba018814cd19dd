"""The roles of the database servers over an arm's time, from what is on record.

Who had which role when an act began is on record with the act, and so is when it promoted a server
or had one refuse writes. That a server is down, or its link cut, was read several times a second:
it is drawn from the reading that found it so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from chaos.model.evidence import CLOSED, DEMOTED, ELSEWHERE, PROMOTED
from chaos.model.stack import FOLLOWERS, Link
from chaos.record.reader import Event

PRIMARY, REPLICA, STANDBY = "primary", "replica", "standby"
OLD_PRIMARY = "old primary"  # it runs, and was not told that another one was promoted
READ_ONLY = "read-only"
CUT_OFF = "cut off"  # a follower that no primary feeds
FEEDS: Link = "replication"


@dataclass(frozen=True)
class RoleSpan:
    """A stretch of an arm's time for which a server had one role, or none."""

    server: str
    role: str
    from_s: float
    to_s: float


def role_spans(own: Sequence[Event], apart_s: float) -> list[RoleSpan]:
    """The roles of each server in each round, in order; none where no act recorded them."""
    return [span for segment in own for span in _of_segment(segment, apart_s)]


def _of_segment(segment: Event, apart_s: float) -> Iterator[RoleSpan]:
    from_s, to_s = segment["started_s"], segment["ended_s"]
    moved_s = segment["round"] * apart_s - from_s
    moves = _moves(segment)
    readings = sorted(segment["states"], key=lambda reading: float(reading["to_s"]))
    changed_s = [*(s for s, _ in moves), *(float(reading["to_s"]) for reading in readings)]
    edges = sorted({from_s, to_s, *(s for s in changed_s if from_s < s < to_s)})
    for server in moves[0][1] if moves else ():
        last: RoleSpan | None = None
        for begins_s, ends_s in pairwise(edges):
            role = _roles(moves, readings, begins_s)[server]
            if last and last.role == role:
                last = replace(last, to_s=ends_s + moved_s)
                continue
            if last:
                yield last
            last = RoleSpan(server, role, begins_s + moved_s, ends_s + moved_s)
        if last:
            yield last


Moves = Sequence[tuple[float, Mapping[str, str]]]  # from when on, and the role of each server


def _moves(segment: Event) -> Moves:
    """The roles at first, and after each promotion and demotion."""
    acts = sorted((act for act in segment["acts"] if act.get("roles")), key=_injected_s)
    if not acts:
        return []
    roles = {server: role for role, server in sorted(acts[0]["roles"].items())}
    moves = [(-float("inf"), dict(sorted(roles.items())))]
    for moment_s, moment, act in sorted(_moments(acts), key=lambda found: found[0]):
        roles = dict(moves[-1][1])
        if moment == PROMOTED:
            roles |= {s: OLD_PRIMARY for s, role in roles.items() if role == PRIMARY}
            roles[act["roles"][REPLICA]] = PRIMARY
        else:
            roles[act["roles"][PRIMARY]] = READ_ONLY
        moves.append((moment_s, roles))
    return moves


def _injected_s(act: Event) -> float:
    return float(act["injected_s"])


def _moments(acts: Sequence[Event]) -> Iterator[tuple[float, str, Event]]:
    for act in acts:
        for moment in (DEMOTED, PROMOTED):
            if moment in act.get("moments", {}):
                yield float(act["moments"][moment]), moment, act


def _roles(moves: Moves, readings: Sequence[Event], at_s: float) -> Mapping[str, str]:
    """The role of each server at a moment, or its state if it does not run."""
    _, roles = moves[bisect_right([from_s for from_s, _ in moves], at_s) - 1]
    seen = bisect_right([float(reading["to_s"]) for reading in readings], at_s)
    parts, links = (readings[seen - 1][what] if seen else {} for what in ("parts", "links"))
    now = {s: role if parts.get(s, "up") == "up" else parts[s] for s, role in roles.items()}
    closed = {CLOSED, ELSEWHERE} & {*links.get(FEEDS, ())}
    if closed or not {PRIMARY, READ_ONLY} & {*now.values()}:
        return {s: CUT_OFF if role in FOLLOWERS else role for s, role in now.items()}
    return now
