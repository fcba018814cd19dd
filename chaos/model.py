"""Every noun of the lab: frozen dataclasses and Protocols, no I/O.

An experiment is a value. A run turns it into events. A verdict is a pure function of them.
All times are seconds on the host's monotonic clock, which every process of a lab shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]
Undo = Callable[[], None]
Settings = Mapping[str, str]
Link = Literal["cache", "primary", "replica", "queue", "worker-primary", "replication"]
PartName = Literal["primary", "replica", "redis", "toxiproxy", "nginx", "web-1", "web-2", "worker"]
Curve = Literal["steady", "ramp", "step", "viral"]

CONTROL = "control"
HOT_RANK = 0
SEED_MAX = 2**53 - 1  # beyond it, not every reader of JSON keeps the same number
LATE_SHARE_MAX = 0.01  # of an arm's requests; with more late ones a run proves nothing


class Verdict(StrEnum):
    """The answer of a claim, an arm or a run; the worst wins."""

    PASS = "PASS"
    FAIL = "FAIL"
    INVALID = "INVALID"

    @staticmethod
    def worst(verdicts: Sequence[Verdict]) -> Verdict:
        """The worst of them, and INVALID of none: nothing checked proves nothing."""
        order = list(Verdict)
        return max(verdicts, key=order.index) if verdicts else Verdict.INVALID


# --- what an experiment is ---------------------------------------------------------------------


@dataclass(frozen=True)
class Traffic:
    """Open arrivals: a rate curve over time, spread over Zipf keys with one hot key.

    `steady` holds `rate_per_s`; `ramp` climbs from it to `peak_per_s` over the duration; `step`
    jumps to the peak at `step_at_s`; `viral` climbs to the peak within `rise_s`, then decays as
    (1 + t/tau_s)^-1.4 back to the base (Crane and Sornette 2008; docs/traffic.md).
    """

    rate_per_s: float
    curve: Curve = "steady"
    peak_per_s: float | None = None
    step_at_s: float = 5.0
    rise_s: float = 2.0
    tau_s: float = 6.4
    keys: int = 50
    hot_share: float = 0.9
    zipf_alpha: float = 1.0
    timeout_s: float = 5.0


@dataclass(frozen=True)
class Reading:
    """What a fault's probe read: a figure that the fault must move."""

    what: str
    value: float
    unit: str


class Fault(Protocol):
    """A failure to inject: it can undo itself, and probe whether it took effect."""

    @property
    def name(self) -> str:
        """What a reader of the report calls it: `replica link +120 ms`."""

    @property
    def needs(self) -> str:
        """The ability of a stack that it relies on, one of `Stack.can`."""

    def inject(self, stack: Stack) -> Undo:
        """Cause the failure, and return what undoes it."""

    def probe(self, stack: Stack) -> Reading:
        """Measure, through the part or link that is hit, the figure the fault should move."""

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """Whether the reading moved as far as this fault should move it."""

    def healed(self, before: Reading, after: Reading) -> bool:
        """Whether the reading is back where it was."""


@dataclass(frozen=True)
class At:
    """A fault on a segment's timeline, in force until the segment's last answer is in.

    One at second 0 is there before the cache is warmed: such a segment knows no healthy time.
    """

    second: float
    fault: Fault


@dataclass(frozen=True)
class Prediction:
    """What theory says a measure should be, from measured inputs; NaN where it says nothing."""

    formula: str
    source: str
    of: Callable[[Sequence[Segment]], float]
    bound: bool = False  # an upper bound rather than a value


@dataclass(frozen=True)
class Arm:
    """One way to run the system: the settings that differ, and what theory expects of it."""

    name: str
    settings: Settings
    naive: bool = False
    predictions: Mapping[str, Prediction] = field(default_factory=dict)


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
        """Whether there is a figure at all: no sample gives NaN, and NaN proves nothing."""
        return self.samples > 0 and math.isfinite(self.value)


@dataclass(frozen=True)
class Measure:
    """One column of the table: a figure for each repetition, and how they become one."""

    name: str
    unit: str
    title: str
    of: Callable[[Segment], Floats]
    summary: Callable[[Floats], Estimate]
    without: str = "there was nothing to measure it by"  # why there is no figure, if there is none


@dataclass(frozen=True)
class Finding:
    """What a claim or check came to, and what it saw."""

    text: str
    verdict: Verdict
    observed: str
    arm: str | None = None


@dataclass(frozen=True)
class Claim:
    """Something the run must show; `check` sees every arm's measures and raises nothing."""

    text: str
    arm: str | None
    check: Callable[[Mapping[str, ArmResult]], tuple[Verdict, str]]
    full_only: bool = False


@dataclass(frozen=True)
class Mode:
    """How long a run is: `rounds` interleaved segments an arm, each of `segment_s` seconds."""

    name: Literal["quick", "full"]
    rounds: int
    segment_s: float
    repetitions: int  # fewer repetitions (expiries) an arm than this make the run INVALID
    control_s: float = 1.5


@dataclass(frozen=True)
class Experiment:
    """A question, the traffic and faults that ask it, and the arms that answer."""

    name: str
    lesson: str  # the module's docstring: its first sentence is the question
    repetition: str  # what one repetition is called: "expiry"
    traffic: Traffic
    settings: Settings
    faults: Sequence[At]
    arms: Sequence[Arm]
    measures: Sequence[Measure]
    claims: Sequence[Claim]
    headline: str  # the measure that answers the question
    costs: Sequence[str]  # the measures that tell what a fix costs beside the naive arm
    quick: Mode
    full: Mode

    def mode(self, *, full: bool) -> Mode:
        """The long mode for numbers that are quoted, the short one otherwise."""
        return self.full if full else self.quick

    @property
    def question(self) -> str:
        """The first paragraph of the lesson."""
        return " ".join(self.lesson.strip().split("\n\n")[0].split())

    @property
    def naive(self) -> Arm:
        """The arm without the fix."""
        (arm,) = (arm for arm in self.arms if arm.naive)
        return arm


# --- what a run saw ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Requests:
    """Request records of one segment, a column each, in order of intended time.

    `rank` is the key's Zipf rank (0 is the hot key); `served_from` is what `X-Cache` said;
    `age_ms` is NaN, `version` and `status` are -1 and 0 where there was no answer.
    """

    intended_s: Floats
    sent_s: Floats
    done_s: Floats
    rank: Ints
    status: Ints
    version: Ints
    age_ms: Floats
    outcome: Strings  # ok, fail or unknown: a timeout is unknown
    served_from: Strings

    @property
    def latency_ms(self) -> Floats:
        """From the intended time, so that a stalled generator cannot hide a stall."""
        return (self.done_s - self.intended_s) * 1000

    @property
    def hot(self) -> NDArray[np.bool_]:
        """Which of them asked for the hot key."""
        return np.equal(self.rank, HOT_RANK)

    def __len__(self) -> int:
        return len(self.intended_s)


@dataclass(frozen=True)
class OriginQueries:
    """Look-ups that reached a database, as the web processes logged them, ordered by `read_s`.

    `read_s`: the cache read that missed was sent; `asked_s` and `answered_s`: the query itself;
    `stored_s`: the value stood in the cache again (NaN if it never did).
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
    """What the load generator says of itself in one segment."""

    offered: int
    sent: int
    late: int
    unsent: int
    lag_p50_ms: float
    lag_p99_ms: float
    no_socket: int = 0  # of the unsent: its machine had no socket, port or file descriptor left
    read_lag_p99_ms: float = math.nan  # answers lay in the kernel; no part of their latency
    cpu_share: float = math.nan  # of one core, by its process

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
        )


@dataclass(frozen=True)
class Counters:
    """Totals read at rest on both sides of a segment: what the databases and the app counted.

    A web process that is killed takes its count with it: then `web_requests` lacks some.
    """

    postgres_origin_queries: int
    app_origin_queries: int
    redis_commands: int
    web_requests: int  # answered by the web processes, whoever sent them
    web_starts: int  # of web processes


@dataclass(frozen=True)
class Segment:
    """What one arm did in one round: all the evidence a measure may read."""

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
        """It did what it should, and it is gone."""
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
    """What the primary holds of some links: (click id, code) of each click, each link's total.

    The clicks can be gone through once, on the thread that asked for them; what keeps them from
    coming is raised then, as a `StackError`.
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
    """Everything a verdict is made from; `trouble` is why the run stopped early, if it did."""

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
    """The verdict of a run with all it rests on; `chaos.record` writes it as verdict.json."""

    experiment: str
    verdict: Verdict
    arms: Sequence[ArmResult]
    claims: Sequence[Finding]
    checks: Sequence[Finding]
    faults: Sequence[FaultEvidence]
    generator: Generator
    clicks: Clicks | None
    trouble: str | None


# --- what a run needs --------------------------------------------------------------------------


@dataclass(frozen=True)
class Endpoints:
    """Where the lab finds the parts: directly for looking, by link for probing a fault."""

    url: str  # the shortener as a user meets it, through nginx
    web: Mapping[str, str]  # each web process by name, round nginx
    worker: str
    primary: str  # PostgreSQL DSN, round Toxiproxy
    replica: str
    redis: str
    toxiproxy: str
    links: Mapping[str, str]  # link name -> URL through Toxiproxy
    desk: str | None = None  # of a lab that outlives its runs
    desk_token: str | None = field(default=None, repr=False)
    prometheus: str | None = None
    grafana: str | None = None


PartState = Literal["up", "paused", "down"]


@dataclass(frozen=True)
class LinkState:
    """Whether a link lets connections through, and the toxics on it, a text each."""

    open: bool
    toxics: Sequence[str]


@dataclass(frozen=True)
class State:
    """How the parts and links of a stack are just now."""

    parts: Mapping[str, PartState]
    links: Mapping[str, LinkState]


class PartDied(Exception):
    """A part of the stack ended by itself: its name and the last lines of its log."""

    def __init__(self, part: str, last_lines: Sequence[str]) -> None:
        super().__init__(f"{part} died; its log ends:\n" + "\n".join(f"  {x}" for x in last_lines))
        self.part = part
        self.last_lines = tuple(last_lines)


class StackError(Exception):
    """The stack could not be started or reached; the message says what to do about it."""


class Clock(Protocol):
    """Time as a run sees it, so that tests need not wait for it."""

    def now_s(self) -> float:
        """Seconds on the host's monotonic clock."""

    def sleep(self, duration_s: float) -> None:
        """Let time pass."""


class Stack(Protocol):
    """A running stack; nothing else differs between runtimes."""

    @property
    def endpoints(self) -> Endpoints:
        """Where its parts answer."""

    @property
    def can(self) -> frozenset[str]:
        """What may be done to it: `kill`, `pause`, `toxic`."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each part, for the record."""

    def configure(self, settings: Settings) -> None:
        """Restart web and worker with these settings, on an empty cache; ready on return."""

    def kill(self, part: str) -> None:
        """SIGKILL; the part stays down until `start`."""

    def pause(self, part: str) -> None:
        """SIGSTOP, until `resume`."""

    def resume(self, part: str) -> None:
        """SIGCONT."""

    def start(self, part: str) -> None:
        """Start a part that was killed, and return when it is ready."""

    def workdir(self, name: str) -> Path:
        """A folder for a helper process: what runs in it ends with the lab, however that ends."""

    def toxic(self, link: Link, kind: str, stream: str, **attributes: float) -> Undo:
        """Put a toxic on a link; the toxic is there when this returns."""

    def cut(self, link: Link) -> Undo:
        """Close a link: connections break, new ones are refused."""

    def state(self) -> State:
        """Every part and link as it is now."""

    def heal(self) -> None:
        """Open every link, remove every toxic, resume what is paused, start what is down."""

    def check(self) -> None:
        """Raise `PartDied` if a part ended that nobody killed."""


class Runtime(Protocol):
    """A way to bring the stack up."""

    @property
    def name(self) -> str:
        """`embedded` or `compose`."""

    def up(self, settings: Settings, logs: Path) -> AbstractContextManager[Stack]:
        """The stack, ready; on leaving, nothing of it is left behind."""


class Load(Protocol):
    """The load generator, one segment at a time."""

    @property
    def metrics_url(self) -> str | None:
        """Where its live figures are, for Prometheus."""

    def prepare(self, traffic: Traffic) -> Sequence[str]:
        """Create the links if there are none yet, follow each once; their codes by rank."""

    def start(self, segment: int, traffic: Traffic, duration_s: float, seed: int) -> float:
        """Start a segment, and return its first moment on the monotonic clock."""

    def finished(self) -> Generator | None:
        """What the generator says of the segment once every answer is in, `None` before."""


class Observer(Protocol):
    """Eyes on the stack that do not pass through the links."""

    def counters(self) -> Counters:
        """Totals so far, once nothing is in flight any more."""

    def read_back(self, codes: Sequence[str]) -> ReadBack:
        """What the primary holds of these links, once the click queue has drained."""
