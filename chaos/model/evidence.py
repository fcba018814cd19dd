"""Evidence of a run, and the result made from it.

All times are seconds on the host's monotonic clock, which every process of a lab shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chaos.model.stack import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]
CONTROL = "control"
HOT_RANK = 0
LATE_SHARE_MAX = 0.01  # of an arm's requests; with more late ones a run proves nothing


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
    """One measurement of a fault's probe: a figure that the fault must move."""

    what: str
    value: float
    unit: str


@dataclass(frozen=True)
class Estimate:
    """A mean or a median with its 95 % interval, or a figure with the range it was seen in."""

    value: float
    low: float
    high: float
    samples: int
    interval: Literal["mean95", "median95", "range"]

    @property
    def known(self) -> bool:
        """True if there is a figure: no sample gives NaN, and NaN proves nothing."""
        return self.samples > 0 and math.isfinite(self.value)


@dataclass(frozen=True)
class Finding:
    """The verdict of one claim or check, with what it observed."""

    text: str
    verdict: Verdict
    observed: str
    arm: str | None = None


@dataclass(frozen=True)
class Mode:
    """Length of a run: `rounds` interleaved segments per arm, each of `segment_s` seconds."""

    name: Literal["quick", "full"]
    rounds: int
    segment_s: float
    repetitions: int  # fewer repetitions (expiries) an arm than this make the run INVALID
    control_s: float = 1.5


@dataclass(frozen=True)
class Requests:
    """Request records of one segment, a column each, in order of intended time.

    `rank` is the key's number in its segment: the Zipf rank of a shared link, and from
    `Traffic.keys` on the own links of sessions. `served_from` is the value of `X-Cache`; `age_ms`
    is NaN, `version` and `status` are -1 and 0 where there was no answer. `session` is an opaque
    number; the tries of an operation count from 1 in `attempt`, and `last` marks the final one.
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

    @property
    def latency_ms(self) -> Floats:
        """From the intended time, so that a stalled generator cannot hide a stall."""
        return (self.done_s - self.intended_s) * 1000

    @property
    def hot(self) -> NDArray[np.bool_]:
        """Mask of the requests for the hot key."""
        return np.equal(self.rank, HOT_RANK)

    def __len__(self) -> int:
        return len(self.intended_s)


@dataclass(frozen=True)
class OriginQueries:
    """Queries for a link that reached a database, as web processes log them, by `read_s`.

    `read_s`: the cache read that missed was sent; `asked_s` and `answered_s`: the query itself;
    `stored_s`: the value was in the cache again (NaN if it never was).
    """

    rank: Ints
    read_s: Floats
    asked_s: Floats
    answered_s: Floats
    stored_s: Floats

    def of_hot(self) -> OriginQueries:
        """Only those for the hot key."""
        keep = self.rank == HOT_RANK
        return OriginQueries(
            *(getattr(self, name)[keep] for name in self.__dataclass_fields__),
        )

    def __len__(self) -> int:
        return len(self.read_s)


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
class Counters:
    """Totals of the databases and the app, read at rest before and after a segment.

    The count of a web process that is killed is lost: then `web_requests` is too low.
    """

    postgres_origin_queries: int
    app_origin_queries: int
    redis_commands: int
    web_requests: int  # answered by the web processes, whatever the client
    web_starts: int  # of web processes


@dataclass(frozen=True)
class Segment:
    """One arm in one round: all the evidence that a measure may read."""

    arm: str
    round: int
    settings: Settings
    started_s: float
    ended_s: float
    web_processes: int
    requests: Requests
    origin: OriginQueries
    samples: Samples
    generator: Generator
    counted: Counters  # how far each counter moved during the segment


@dataclass(frozen=True)
class FaultEvidence:
    """One injection with its three readings; `None` is a reading that never came."""

    fault: str
    arm: str
    injected_s: float
    healed_s: float | None
    before: Reading | None
    during: Reading | None
    after: Reading | None
    took_effect: bool
    healed: bool

    @property
    def proven(self) -> bool:
        """True if the fault took effect and was healed."""
        return self.took_effect and self.healed


@dataclass(frozen=True)
class Clicks:
    """Ground truth of the click path: ids acknowledged to clients against rows in the primary."""

    acknowledged: int
    counted: int
    lost: int  # acknowledged for a link, and not in the table for that link
    duplicated: int  # rows beyond the first of an id
    unexpected: int  # in the table beyond what unanswered and unrecorded requests explain
    miscounted: int  # how far each link's total is from the number of its rows, summed up


@dataclass(frozen=True)
class ReadBack:
    """Final state of some links in the primary: (click id, code) of each click, each link's total.

    `clicks` can be iterated once, on the thread that made it, and raises `StackError` if the
    database fails meanwhile.
    """

    clicks: Iterable[tuple[str, str]]
    totals: Mapping[str, int]


@dataclass(frozen=True)
class Oddities:
    """Request records that cannot be true, counted; a sound record has none."""

    stray: int  # of no segment of the run
    doubled: int  # beyond the first of an operation
    misnamed: int  # whose key is not the one of its rank
    contradictory: int  # whose status is another outcome's
    incomplete: int  # called ok, without version, age, where it was served from or click id


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict is made from; `trouble` is why the run stopped early, or `None`."""

    plan: Mapping[str, Any]
    mode: Mode
    segments: Sequence[Segment]
    control: Sequence[Segment]
    faults: Sequence[FaultEvidence]
    oddities: Oddities
    clicks: Clicks | None
    trouble: str | None


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
    inputs: Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """The verdict of a run with all that it rests on, as in `verdict.json`."""

    experiment: str
    verdict: Verdict
    arms: Sequence[ArmResult]
    claims: Sequence[Finding]
    checks: Sequence[Finding]
    faults: Sequence[FaultEvidence]
    generator: Generator
    clicks: Clicks | None
    trouble: str | None
