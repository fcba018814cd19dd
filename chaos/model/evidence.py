"""Evidence of a run, and the result made from it.

All times are seconds on the host's monotonic clock, which every process of a lab shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chaos.model.stack import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]
CONTROL = "control"
CLICKS_WAIT = ("sync", "outbox")  # of CLICK_MODE: a redirect waits until its click is written
CONTROLS_MAX = 3  # tries of a control that is not well
HOT_RANK = 0
ERROR = 0.05  # of wrong PASS and FAIL together, where a figure is exactly at its limit
LOOKS_MAX = 3
FURTHER_QUICK = 4  # rounds
INCONCLUSIVE = "inconclusive"
PROMOTING = "promoting"  # the moment of an act at which another server answers from then on
PROMOTED, DEMOTED = "promoted", "demoted"  # moments: another server leads; one refuses writes
LAST_ANSWER, SILENT = "last answer", "silent"  # of the primary to a controller; it gave that up
CLOSED = "closed"  # of a link
ELSEWHERE = "led elsewhere"  # of a link that does not lead where the roles of servers say
FACTS = ("range", "exact")  # intervals of what is a fact of the run: no error of sampling
LATE_S = 0.010  # a request that leaves so long after it was due is late
LATE_SHARE_MAX = 0.01  # in a test from the form, where no claim shows what late requests decide


def part_of(counter: str) -> str:
    """The part that has a counter: `redis` of `redis.commands`."""
    return counter.partition(".")[0]


class Verdict(StrEnum):
    """The answer of a claim, an arm or a run; the worst wins."""

    PASS = "PASS"
    FAIL = "FAIL"
    INVALID = "INVALID"

    @staticmethod
    def of(holds: bool) -> Verdict:
        """PASS where something holds, FAIL where it does not."""
        return Verdict.PASS if holds else Verdict.FAIL

    @staticmethod
    def worst(verdicts: Sequence[Verdict]) -> Verdict:
        """The worst of them, and INVALID of none: nothing checked proves nothing."""
        order = list(Verdict)
        return max(verdicts, key=order.index) if verdicts else Verdict.INVALID


@dataclass(frozen=True)
class Reading:
    """One measurement of an act's probe: a figure that the act must move."""

    what: str
    value: float
    unit: str


@dataclass(frozen=True)
class Estimate:
    """A mean or a median with its 95 % interval, or a figure with the range it was seen in.

    The interval holds in 95 % of runs at every look that a run takes (`Mode.looks`): repeated
    confidence intervals. An exact figure, or the largest of those seen, is a fact of the run. With
    `at_least` it is censored: a segment ended before the figure was known, so it may be more.
    Chance would have the sum of another run between `chance_low` and `chance_high`.
    """

    value: float
    low: float
    high: float
    samples: int
    interval: Literal["mean95", "median95", "range", "exact"]
    at_least: bool = False
    chance_low: float = math.nan  # of a sum alone
    chance_high: float = math.nan

    @property
    def known(self) -> bool:
        """True if there is a figure: no sample gives NaN, and NaN proves nothing."""
        return self.samples > 0 and math.isfinite(self.value)

    @property
    def is_fact(self) -> bool:
        """True for a sum or an extreme of this run, which has no error of sampling."""
        return self.interval in FACTS


@dataclass(frozen=True)
class Finding:
    """The verdict of one claim or check, with what it observed; a claim names its arms."""

    text: str
    verdict: Verdict
    observed: str
    arms: tuple[str, ...] = ()

    @property
    def inconclusive(self) -> bool:
        """True if it is INVALID only since an interval is too wide: more rounds may decide it."""
        return self.verdict is Verdict.INVALID and self.observed.startswith(INCONCLUSIVE)


@dataclass(frozen=True)
class Mode:
    """Length of a run: `rounds` interleaved segments per arm, each of `segment_s` seconds.

    Arms that are in doubt after them get further rounds, `rounds_max` in all: four more in quick
    mode and twice as many in full mode, if it is not given.
    """

    name: Literal["quick", "full"]
    rounds: int
    segment_s: float
    events: int = 1  # fewer of the experiment's events an arm than this make the run INVALID
    control_s: float = 1.5
    rounds_max: int = 0

    def __post_init__(self) -> None:
        if not self.rounds_max:
            further = FURTHER_QUICK if self.name == "quick" else self.rounds
            object.__setattr__(self, "rounds_max", self.rounds + further)

    @property
    def looks(self) -> Sequence[int]:
        """Numbers of rounds after which claims are looked at, the last one after the last round."""
        further = max(self.rounds_max - self.rounds, 0)
        steps = min(LOOKS_MAX - 1, further)
        return [self.rounds + further * step // max(steps, 1) for step in range(steps + 1)]

    def lasts_s(self, number: int) -> float:
        """The length of a segment in a round; of the control, which is tried in the rounds -1, -2
        and so on, twice that of the try before."""
        tries_before = min(-1 - number, CONTROLS_MAX)
        return self.segment_s if number >= 0 else self.control_s * 2**tries_before

    @property
    def tail(self) -> float:
        """The error on either side of an interval, so that all looks together make 5 %."""
        return ERROR / 2 / len(self.looks)


@dataclass(frozen=True)
class Requests:
    """Request records of one segment, a column each, in order of intended time.

    `rank` is the key's number in its segment: the Zipf rank of a shared link, and from
    `Traffic.keys` on the own links of sessions. `served_from` is the value of `X-Cache`; `age_ms`
    is NaN, `version` and `status` are -1 and 0 where there was no answer. `session` is an opaque
    number; the tries of an operation count from 1 in `attempt`, and `last` marks the final one.
    `timeline` is that of the Postgres which took a write, -1 where the answer names none.
    """

    intended_s: Floats
    sent_s: Floats
    done_s: Floats
    rank: Ints
    status: Ints
    version: Ints
    age_ms: Floats
    outcome: Strings  # ok, absent (404, 410), fail or unknown: a timeout is unknown
    served_from: Strings
    operation: Strings
    session: Ints
    attempt: Ints
    last: NDArray[np.bool_]
    timeline: Ints

    @property
    def latency_ms(self) -> Floats:
        """From the intended time, so that a stalled generator cannot hide a stall."""
        return (self.done_s - self.intended_s) * 1000

    def __len__(self) -> int:
        return len(self.intended_s)


@dataclass(frozen=True)
class LookUps:
    """Queries for a link that reached a database, as web processes log them, by `read_s`.

    `read_s`: the cache read that missed was sent; `asked_s` and `answered_s`: the query itself;
    `stored_s`: the value was in the cache again (NaN if it never was). `rank` is -1 for a link of
    another segment. A failed one had no answer from the database, which `db` names.
    """

    rank: Ints
    read_s: Floats
    asked_s: Floats
    answered_s: Floats
    stored_s: Floats
    failed: NDArray[np.bool_]
    db: Strings  # primary or replica; empty if it is another's

    def of_rank(self, rank: int) -> LookUps:
        """Only those for one link."""
        keep = self.rank == rank
        return LookUps(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.read_s)


@dataclass(frozen=True)
class Gateway:
    """The gateway's own account of the follows of a segment, in its order; times in milliseconds.

    `status` is 499 where the client had gone. Those that made the links ready do not count.
    """

    status: Ints
    took_ms: Floats

    def __len__(self) -> int:
        return len(self.status)


@dataclass(frozen=True)
class Samples:
    """Counters read several times a second: `series[name]` against `t_s[name]`."""

    t_s: Mapping[str, Floats]
    series: Mapping[str, Floats]

    def of(self, name: str) -> tuple[Floats, Floats]:
        """Times and values of one counter; empty if it was never read."""
        nothing: Floats = np.array([])
        return self.t_s.get(name, nothing), self.series.get(name, nothing)


@dataclass(frozen=True)
class Generator:
    """The load generator's own counts and lags in one segment."""

    offered: int
    sent: int
    late: int
    unsent: int
    lag_p50_ms: float
    lag_p99_ms: float
    no_socket: int = 0  # of the unsent: its machine had no socket, port or file descriptor left
    read_lag_p99_ms: float = math.nan  # answers waited in the kernel; not in their latency
    cpu_share: float = math.nan  # of one core, by its process
    visits: int = 0  # arrivals that were due; `offered` counts what follows in a visit, too

    @staticmethod
    def together(own: Sequence[Generator]) -> Generator:
        """Counts add up; lags and CPU are those of the worst, and NaN of none."""
        return Generator(
            offered=sum(g.offered for g in own),
            sent=sum(g.sent for g in own),
            late=sum(g.late for g in own),
            unsent=sum(g.unsent for g in own),
            lag_p50_ms=max((g.lag_p50_ms for g in own), default=math.nan),
            lag_p99_ms=max((g.lag_p99_ms for g in own), default=math.nan),
            no_socket=sum(g.no_socket for g in own),
            read_lag_p99_ms=max((g.read_lag_p99_ms for g in own), default=math.nan),
            cpu_share=max((g.cpu_share for g in own), default=math.nan),
            visits=sum(g.visits for g in own),
        )


@dataclass(frozen=True)
class ActEvidence:
    """One act in one segment, with the readings of its probe; `None` is one that never came.

    Its injection began at `begun_s`. It was in force from `injected_s` until its undoing began at
    `lifted_s` and was done at `healed_s`; both are `None` for an act that is not undone. `during`
    was read once it was in force, `again` shortly before it was lifted: see `At.probed_again`.
    `roles` are the servers that had each role when it was injected.
    """

    act: str
    arm: str
    segment: int
    injected_s: float
    lifted_s: float | None
    healed_s: float | None
    before: Reading | None
    during: Reading | None
    after: Reading | None
    took_effect: bool
    healed: bool
    begun_s: float | None = None
    again: Reading | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    moments: Mapping[str, float] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        """True if the act took effect and was healed."""
        return self.took_effect and self.healed


@dataclass(frozen=True)
class StateReading:
    """The state of the stack at some moment between `from_s` and `to_s`.

    `parts` are up, paused or down. `links` have their toxics, a text each, and `closed` if they
    are; it is empty while Toxiproxy cannot tell.
    """

    from_s: float
    to_s: float
    parts: Mapping[str, str]
    links: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Ledger:
    """Ground truth of one kind of thing in one segment: answers to clients against the primary.

    `clicks` are compared by id, `links` by key, `edits` by key and version. All counts are exact.
    """

    attempted: int
    acknowledged: int
    held: int  # of the acknowledged
    lost: int  # acknowledged and not held
    duplicated: int  # held beyond the first of an id
    unexpected: int  # held beyond what unanswered requests explain
    miscounted: int = 0  # clicks: how far each link's total is from the number of its clicks
    found: int = 0  # of the lost, on a server that lost its role, before its writes were erased


@dataclass(frozen=True)
class InForce:
    """The parts' own account of one moment.

    `settings` are by part and name: all of each web process and of the worker; of Postgres (its
    primary) and Redis those that some arm sets. `roles` are facts of the databases, by name.
    `strange` counts the application's statements whose purpose is not known, by database and text.
    """

    settings: Mapping[str, Mapping[str, str]]
    roles: Mapping[str, bool]
    strange: Mapping[str, float]


@dataclass(frozen=True)
class Segment:
    """One arm in one round: all the evidence that a measure may read.

    `settled_s` is when the queue and the outbox were empty after it; NaN: not within the patience.
    `counted` is how far each counter moved, by name (`redis.commands`); NaN: its part began anew.
    `made_ready` are look-ups of its links that came before it.
    """

    number: int
    arm: str
    round: int
    settings: Settings
    started_s: float
    ended_s: float
    settled_s: float
    web_processes: int
    shared_links: int  # those with a rank below it; they were made before the segment
    requests: Requests
    look_ups: LookUps
    samples: Samples
    generator: Generator
    counted: Mapping[str, float]
    acts: Sequence[ActEvidence]
    ledgers: Mapping[str, Ledger]
    in_force: Sequence[InForce]  # before the segment, and after it
    states: Sequence[StateReading]  # from before its first act until after its last
    made_ready: LookUps
    gateway: Gateway

    def moment(self, name: str, act: str = "") -> float:
        """When what an act calls so happened first, of one act or of any; NaN if it did not."""
        times = [a.moments[name] for a in self.acts if name in a.moments and act in ("", a.act)]
        return min(times, default=math.nan)

    def count(self, name: str) -> float:
        """How far a counter moved; `web.look_ups` is the sum over web-1, web-2, ….

        Raises:
            KeyError: there is no such counter.
        """
        if name in self.counted:
            return self.counted[name]
        kind, _, what = name.partition(".")
        own = [c for c in self.counted if c.startswith(f"{kind}-") and c.endswith(f".{what}")]
        if not own:
            raise KeyError(f"no counter {name}: {', '.join(sorted(self.counted))}")
        return sum(self.counted[counter] for counter in own)


@dataclass(frozen=True)
class ReadBack:
    """Final state of the run's links in the primary.

    `clicks` are (click id, code), `links` are (code, version, target, deleted), `totals` the number
    of clicks that each link shows. The first two can be iterated once, on the thread that made
    them, and raise `StackError` if the database fails meanwhile. `rows` is how many of each the
    primary itself had counted before.
    """

    clicks: Iterable[tuple[str, str]]
    links: Iterable[tuple[str, int, str, bool]]
    totals: Mapping[str, int]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Oddities:
    """Request records that cannot be true, counted; a sound record has none."""

    stray: int  # of no segment of the run
    doubled: int  # beyond the first of a try
    misnamed: int  # whose key is not the one of its rank
    contradictory: int  # whose status is another outcome's
    disordered: int  # operations whose tries do not count from 1 to one that is marked as the last
    incomplete: int  # a followed link without version, age or where it was served from


@dataclass(frozen=True)
class Look:
    """A look at the record while the run goes on: `arms` get further rounds, and why."""

    rounds: int  # so many were over
    arms: Mapping[str, str]


@dataclass(frozen=True)
class Answers:
    """Good answers compared with what writers had asked for, counted; with an example of each
    kind of contradiction."""

    followed: int = 0  # redirects
    held: int = 0  # links that the primary held at the end
    misled: int = 0  # redirects to a target that nobody wrote for that link and version
    misheld: int = 0  # links held at the end with such a target
    unwritten: int = 0  # of both, those of which no write is on record
    odd_statuses: int = 0  # of any operation
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict is made from; `trouble` is why the run stopped early, or `None`.

    `read_back` is true if the primary was read to the end; without it, ledgers are empty. With
    `damage` they may count what the lab itself lost.
    """

    plan: Mapping[str, Any]
    mode: Mode
    segments: Sequence[Segment]
    control: Sequence[Segment]  # each try of it
    oddities: Oddities
    read_back: bool
    trouble: str | None
    damage: Sequence[str]  # what the files do not hold of what was written, or hold beyond it
    looks: Sequence[Look]
    answers: Answers

    @property
    def all_segments(self) -> Sequence[Segment]:
        """The control and every arm's segments."""
        return [*self.control, *self.segments]

    @property
    def acts(self) -> Sequence[ActEvidence]:
        """Every act of the run, in order."""
        return [act for segment in self.all_segments for act in segment.acts]


@dataclass(frozen=True)
class Predicted:
    """A prediction worked out for one arm."""

    value: float
    formula: str
    source: str
    bound: bool


@dataclass(frozen=True)
class ArmResult:
    """One row of the table."""

    name: str
    naive: bool
    verdict: Verdict
    measures: Mapping[str, Estimate]
    predictions: Mapping[str, Predicted]
    inputs: Mapping[str, float]  # by name, as in `Experiment.inputs`


@dataclass(frozen=True)
class Result:
    """The verdict of a run with all that it rests on, as in `verdict.json`."""

    experiment: str
    verdict: Verdict
    arms: Sequence[ArmResult]
    claims: Sequence[Finding]
    checks: Sequence[Finding]
    not_asked: Sequence[str]  # claims about arms that the run did not choose
    acts: Sequence[ActEvidence]
    generator: Generator
    ledgers: Mapping[str, Mapping[str, Ledger]]  # by arm and kind, over all its segments
    trouble: str | None
