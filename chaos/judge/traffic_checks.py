"""Checks that the traffic on record is the planned one, request by request.

Arrivals follow from the plan's traffic and seed, so they are drawn again and compared. Then both
accounts have one source: that the drawing is right is judged by laws that do not use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from chaos.judge.findings import guard
from chaos.model.arrivals import CANDIDATES, arrivals, visit_places
from chaos.model.evidence import (
    Evidence,
    Finding,
    Floats,
    Ints,
    Requests,
    Segment,
)
from chaos.model.experiment import Experiment
from chaos.model.plan import segment_seed
from chaos.model.request_record import OPERATIONS
from chaos.model.traffic import NO_LIMIT, TOO_MANY_REQUESTS, Traffic, Visit

NEAR_S = 1e-6  # twice what six decimals round away
SIGMAS = 5.0
NO_RANK = -1  # a writer takes the next link that no other is writing

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Starts:
    """The first requests of visits, by the time they are due, a column each.

    `row` is their place among the requests, or the number of the visit's kind where they are drawn.
    """

    due_s: Floats
    rank: Ints
    operation: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.due_s)


def arrivals_are_those_drawn(experiment: Experiment, evidence: Evidence) -> Finding:
    """Each arrival on record is one that the seed draws, at its time and for its link; none is
    missing.

    What the generator says that it could not send is not missing: another check is about that.
    """
    odd: dict[str, Counter[str]] = {}
    count = 0
    for segment in evidence.all_segments:
        drawn = _drawn(experiment, evidence, segment)
        count += len(drawn)
        wrong = _differences(drawn, recorded(segment), segment.generator.unsent)
        odd.setdefault(segment.arm, Counter()).update(wrong)
    told = [
        f"{arm}: {', '.join(f'{many} {how}' for how, many in wrong.items() if many)}"
        for arm, wrong in odd.items()
        if wrong.total()
    ]
    if told and (other := _other_numpy(evidence)):
        told.append(other)
    return guard("the arrivals are those of the seed", told, f"all {count} are", seen=count)


def _other_numpy(evidence: Evidence) -> str:
    """The two versions of numpy, if they differ: so may their random numbers."""
    then, now = evidence.plan["machine"].get("numpy"), version("numpy")
    return "" if then == now else f"numpy {then} drew them, and numpy {now} drew them again"


def _drawn(experiment: Experiment, evidence: Evidence, segment: Segment) -> Starts:
    """The arrivals of a segment as the plan's seed draws them."""
    traffic = experiment.traffic_in(segment)
    seed = segment_seed(evidence.plan["seed"], segment.number)
    duration_s = experiment.lasts_s(evidence.mode, segment.arm, segment.round)
    if not abs(segment.ended_s - segment.started_s - duration_s) <= 2 * NEAR_S:
        duration_s = 0.0  # it was another segment, and maybe one without an end
    batches = [(np.empty(0), np.empty(0, np.int64)), *arrivals(traffic, duration_s, seed)]
    due_s, rank = (np.concatenate(column) for column in zip(*batches, strict=True))
    places = islice(visit_places(traffic, seed), ceil(len(due_s) / CANDIDATES))
    kind = np.concatenate([np.empty(0, np.int64), *places])[: len(due_s)]
    own = np.array([visit.own_link for visit in traffic.visits])[kind]
    writes = np.array([visit.writes for visit in traffic.visits])[kind]
    first = [OPERATIONS.index(visit.steps[0].operation) for visit in traffic.visits]
    ranks = np.select([own, writes], [traffic.keys + np.arange(len(due_s)), NO_RANK], rank)
    return Starts(due_s + segment.started_s, ranks, np.array(first)[kind], kind)


def recorded(segment: Segment) -> Starts:
    """The first request of each session on record."""
    requests = segment.requests
    _, first = np.unique(requests.session, return_index=True)
    row = np.sort(first)
    return Starts(requests.intended_s[row], requests.rank[row], _operations(requests)[row], row)


def _operations(requests: Requests) -> Ints:
    """Each request's operation as its place among all of them."""
    column = requests.operation
    return np.select([column == name for name in OPERATIONS], [*range(len(OPERATIONS))], -1)


def _differences(drawn: Starts, seen: Starts, unsent: int) -> Mapping[str, int]:
    ours, theirs = _matched(drawn.due_s, seen.due_s)
    return {
        "missing": max(len(drawn) - len(ours) - max(unsent, 0), 0),
        "surplus": len(seen) - len(theirs),
        "of another link or operation": _unlike(drawn, ours, seen, theirs),
    }


def _matched(drawn_s: Floats, seen_s: Floats) -> tuple[Ints, Ints]:
    """Pairs of places in two ascending columns whose times are the same."""
    if len(drawn_s) == len(seen_s) and bool((np.abs(drawn_s - seen_s) <= NEAR_S).all()):
        every = np.arange(len(drawn_s))
        return every, every
    first = np.searchsorted(seen_s, drawn_s - NEAR_S)
    end = np.searchsorted(seen_s, drawn_s + NEAR_S, side="right")
    candidates = np.flatnonzero(first < end)
    columns = (candidates, first[candidates], end[candidates])
    pairs: list[tuple[int, int]] = []
    free = 0
    for ours, theirs, beyond in zip(*(each.tolist() for each in columns), strict=True):
        if max(theirs, free) < beyond:
            pairs.append((ours, max(theirs, free)))
            free = pairs[-1][1] + 1
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _by_operation(drawn: Starts, ours: Ints, seen: Starts, theirs: Ints) -> Ints:
    """The same pairs, but neighbours that rounding made due at once and swapped, swapped back."""
    pairs = theirs.copy()
    for place in np.flatnonzero(np.diff(seen.due_s[theirs]) == 0):
        one, other = pairs[place], pairs[place + 1]
        first, second = drawn.operation[ours[place : place + 2]]
        if first != second and (first, second) == (seen.operation[other], seen.operation[one]):
            pairs[place], pairs[place + 1] = other, one
    return pairs


def _unlike(drawn: Starts, ours: Ints, seen: Starts, theirs: Ints) -> int:
    """Count pairs of another link or operation.

    Rounding may have swapped two that are due within a few microseconds.
    """
    rank, operation = drawn.rank[ours], drawn.operation[ours]
    unlike = (rank != seen.rank[theirs]) & (rank != NO_RANK)
    unlike |= operation != seen.operation[theirs]
    if not unlike.any():
        return 0
    moment = np.cumsum(np.diff(drawn.due_s[ours], prepend=-np.inf) > 2 * NEAR_S)
    count = 0
    for each in np.unique(moment[unlike]):
        here = moment == each
        wanted = sorted(zip(rank[here], operation[here], strict=True), reverse=True)
        found = [*zip(seen.rank[theirs[here]], seen.operation[theirs[here]], strict=True)]
        for link, what in wanted:  # those of any link come last
            fits = (f for f in found if f[1] == what and link in (f[0], NO_RANK))
            if (taken := next(fits, None)) is None:
                count += 1
            else:
                found.remove(taken)
    return count


# --- what follows in a visit -------------------------------------------------------------------


def visits_went_on(experiment: Experiment, evidence: Evidence) -> Finding | None:
    """Each further step or try is the one that the answer before it asks for, due when it should
    be; none is missing.
    """
    further = [
        segment
        for segment in evidence.all_segments
        if _goes_beyond_one(experiment.traffic_in(segment)) or _went_beyond_one(segment.requests)
    ]
    if not further and not any(map(_goes_beyond_one, map(experiment.traffic_of, experiment.arms))):
        return None
    odd = [
        f"{segment.arm}: {many} {how}"
        for segment in further
        for how, many in _odd_followers(experiment, evidence, segment).items()
        if many
    ]
    count = sum(len(s.requests) - s.generator.visits for s in evidence.all_segments)
    text = "what follows in a visit is what its answers ask for"
    return guard(text, odd, f"all {count} further ones are", seen=len(evidence.all_segments))


def _goes_beyond_one(traffic: Traffic) -> bool:
    return traffic.retries.tries > 1 or any(len(visit.steps) > 1 for visit in traffic.visits)


def _went_beyond_one(requests: Requests) -> bool:
    return len(np.unique(requests.session)) < len(requests)


def _odd_followers(
    experiment: Experiment, evidence: Evidence, segment: Segment
) -> Mapping[str, int]:
    traffic = experiment.traffic_in(segment)
    drawn, seen = _drawn(experiment, evidence, segment), recorded(segment)
    kind = np.full(len(segment.requests), -1)
    ours, theirs = _matched(drawn.due_s, seen.due_s)
    theirs = _by_operation(drawn, ours, seen, theirs)
    kind[seen.row[theirs]] = drawn.row[ours]
    course = _Course.of(segment.requests, kind, traffic)
    return {
        "at another time than due": int(course.untimely().sum()),
        "of another operation, or unasked for": int(course.unasked().sum()),
        "missing": 0 if segment.generator.unsent else int(course.broken_off(segment).sum()),
    }


@dataclass(frozen=True)
class _Course:
    """The requests of visits whose kind is known, session by session, a column each.

    `begins` marks the first of each; `step` counts its operations from 0.
    """

    traffic: Traffic
    begins: Bools
    kind: Ints
    step: Ints
    operation: Ints
    attempt: Ints
    last: Bools
    due_s: Floats
    done_s: Floats
    good: Bools  # the visit may go on
    no_good: Bools  # it may try again

    @staticmethod
    def of(requests: Requests, kind: Ints, traffic: Traffic) -> _Course:
        session, due_s = requests.session, requests.intended_s
        order = np.lexsort((due_s, session))
        begins = np.diff(session[order], prepend=-1) != 0
        visit = np.cumsum(begins) - 1
        of_visit = kind[order][begins][visit]
        operations = np.cumsum(requests.attempt[order] == 1)
        step = operations - operations[begins][visit]
        known = of_visit >= 0
        status, outcome, operation = requests.status, requests.outcome, _operations(requests)
        good = (outcome == "ok") | ((outcome == "absent") & (requests.operation == "follow"))
        no_good = (status == 0) | (status == TOO_MANY_REQUESTS) | (status >= 500)
        columns = operation, requests.attempt, requests.last, due_s, requests.done_s, good, no_good
        return _Course(
            traffic,
            *(column[known] for column in (begins, of_visit, step)),
            *(column[order][known] for column in columns),
        )

    def _planned(self, figure: Callable[[Visit, int], float], step: Ints) -> Floats:
        """A figure of each request's step; NaN beyond the visit's last one."""
        longest = max(len(visit.steps) for visit in self.traffic.visits)
        table = np.full((len(self.traffic.visits), longest + 1), np.nan)
        for place, visit in enumerate(self.traffic.visits):
            for number in range(len(visit.steps)):
                table[place, number] = figure(visit, number)
        return np.asarray(table[self.kind, np.clip(step, 0, longest)])

    def _after_s(self, step: Ints) -> Floats:
        return self._planned(lambda visit, number: visit.steps[number].after_s, step)

    def _longest_s(self, attempt: Ints) -> Floats:
        """The longest pause after a try."""
        return np.asarray(self.traffic.retries.pause_s * 2.0 ** np.clip(attempt - 1, 0, 100))

    def untimely(self) -> Bools:
        """Mask of those that are due at another time than the answer before them says."""
        pause_s = self.due_s[1:] - self.done_s[:-1]
        again = self.attempt[1:] > 1
        after_s = self._after_s(self.step)[1:]
        longest_s = self._longest_s(self.attempt[:-1])
        in_time = np.where(
            again,
            (pause_s >= -NEAR_S) & (pause_s <= longest_s + NEAR_S),
            np.abs(pause_s - after_s) <= NEAR_S,
        )
        unplanned = np.isnan(after_s) & ~again
        return np.asarray(~self.begins[1:] & ~in_time & ~unplanned)

    def unasked(self) -> Bools:
        """Mask of those that are no step of their visit, or that the answer before rules out."""
        first = [[OPERATIONS.index(s.operation) for s in v.steps] for v in self.traffic.visits]
        planned = self._planned(
            lambda visit, n: first[self.traffic.visits.index(visit)][n], self.step
        )
        asked = np.ones(len(self.step), dtype=np.bool_)
        again = self.attempt[1:] == self.attempt[:-1] + 1
        again &= self.no_good[:-1] & (self.attempt[1:] <= self.traffic.retries.tries)
        onward = (self.attempt[1:] == 1) & self.good[:-1]
        asked[1:] = self.begins[1:] | again | onward
        return np.asarray(~asked | (self.operation != planned))

    def broken_off(self, segment: Segment) -> Bools:
        """Mask of the last ones of visits that should have gone on before the segment ended."""
        ends = np.append(self.begins[1:], True)
        next_s = self.done_s + self._after_s(self.step + 1)
        goes_on = self.good & (next_s < segment.ended_s - NEAR_S)
        retries = self.traffic.retries
        longest_s = self.done_s + self._longest_s(self.attempt)
        tries = self.no_good & (self.attempt < retries.tries) & (retries.budget >= NO_LIMIT)
        tries &= longest_s < segment.ended_s - NEAR_S
        return np.asarray(ends & (goes_on | tries))


# --- laws --------------------------------------------------------------------------------------


def arrivals_are_random(experiment: Experiment, evidence: Evidence) -> Finding:
    """Gaps between arrivals, and the links and kinds of visits, are as random as planned.

    Of two neighbouring gaps of a Poisson process one has a share of both that is uniform from 0 to
    1, at any rate. Each figure is judged at five standard deviations, over the whole run: fewer
    than one sound run in a hundred thousand is off.
    """
    odd: list[str] = []
    of_traffic: dict[Traffic, list[Starts]] = {}
    for segment in evidence.all_segments:
        of_traffic.setdefault(experiment.traffic_in(segment), []).append(recorded(segment))
    for traffic, starts in of_traffic.items():
        odd += _odd_gaps(starts)
        odd += _odd_ranks(traffic, starts)
        odd += _odd_kinds(traffic, np.concatenate([each.operation for each in starts]))
    count = sum(len(each) for starts in of_traffic.values() for each in starts)
    return guard("arrivals are as random as planned", odd, f"{count} arrivals", seen=count)


def _odd_gaps(starts: Sequence[Starts]) -> Iterator[str]:
    shares: list[Floats] = [np.empty(0)]
    for each in starts:
        gaps = np.diff(each.due_s)
        pairs = gaps[: len(gaps) // 2 * 2].reshape(-1, 2)
        both = pairs.sum(axis=1)
        shares.append(pairs[both > 0, 0] / both[both > 0])
    spread = (np.concatenate(shares) - 0.5) ** 2
    if len(spread) and abs(spread.mean() - 1 / 12) > SIGMAS * sqrt(1 / 180 / len(spread)):
        yield f"gaps spread by {sqrt(12 * spread.mean()):.2f} of what chance does"


def _odd_ranks(traffic: Traffic, starts: Sequence[Starts]) -> Iterator[str]:
    """The links that visits only read: the most popular one by its share, the others by Zipf."""
    kinds = traffic.visits
    reading = {v.steps[0].operation for v in kinds if not v.writes}
    reading -= {v.steps[0].operation for v in kinds if v.writes}
    codes = [OPERATIONS.index(operation) for operation in reading]
    rank = np.concatenate([each.rank[np.isin(each.operation, codes)] for each in starts])
    hot, share = int((rank == 0).sum()), 1.0 if traffic.keys == 1 else traffic.hot_share
    if abs(hot - share * len(rank)) > _slack(len(rank), share):
        yield f"{hot} of {len(rank)} for the most popular link"
    others = np.arange(1, traffic.keys, dtype=np.float64)
    if (count := len(rank) - hot) and len(others):
        weights = others**-traffic.zipf_alpha / (others**-traffic.zipf_alpha).sum()
        mean = float(weights @ np.log(others))
        variance = float(weights @ np.log(others) ** 2) - mean**2
        seen = float(np.log(rank[rank > 0]).mean())
        if abs(seen - mean) > SIGMAS * sqrt(max(variance, 0.0) / count) + 1e-9:
            yield f"other links' mean log rank is {seen:.2f}, not {mean:.2f}"


def _odd_kinds(traffic: Traffic, operation: Ints) -> Iterator[str]:
    """Visits by their first operation, against their weights."""
    weights: Counter[str] = Counter()
    for visit in traffic.visits:
        weights[visit.steps[0].operation] += visit.weight  # type: ignore[assignment]
    total = sum(weights.values())
    for name, weight in weights.items():
        share, seen = weight / total, int((operation == OPERATIONS.index(name)).sum())
        if abs(seen - share * len(operation)) > _slack(len(operation), share):
            yield f"{seen} of {len(operation)} visits begin with {name}"


def _slack(count: int, share: float) -> float:
    """How far a number drawn with this probability may be off; wide enough for small numbers."""
    return SIGMAS * (sqrt(count * share * (1 - share)) + (0 < share < 1))
