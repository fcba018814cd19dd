"""An experiment as a value: traffic, faults, arms, measures and claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from chaos.model.evidence import (
    ArmResult,
    Estimate,
    Floats,
    Mode,
    Reading,
    Segment,
    Verdict,
)
from chaos.model.stack import Settings, Stack, Undo

SEED_MAX = 2**53 - 1  # beyond it, not every reader of JSON keeps the same number
Curve = Literal["steady", "ramp", "step", "viral"]
Operation = Literal["follow", "create", "edit", "delete", "stats"]


@dataclass(frozen=True)
class Step:
    """One operation of a visit, `after_s` after the answer to the one before."""

    operation: Operation
    after_s: float = 0.0


@dataclass(frozen=True)
class Visit:
    """What one arrival does in one session to one link: a shared one, or its own.

    The first step of a visit with an own link creates it. A link has one writer at a time: a visit
    that edits or deletes a shared link waits for none, but skips those that another visit is
    writing. `weight` is relative to the other visits'.
    """

    name: str
    steps: tuple[Step, ...]
    weight: float = 1.0
    own_link: bool = False


@dataclass(frozen=True)
class Retries:
    """What a client does without a good answer (5xx, 429, none): each try is a request on record.

    `pause_s` is the first pause; each further one doubles, and all are drawn with full jitter
    (uniform from 0). `budget` limits retries to a share of the first tries; 1 or more: no limit.
    """

    tries: int = 1
    pause_s: float = 0.0
    budget: float = 1000.0


FOLLOW = Visit("follow", (Step("follow"),))


@dataclass(frozen=True)
class Traffic:
    """Open arrivals: a rate curve over time, spread over Zipf keys with one hot key.

    An arrival starts a visit, drawn by weight.

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
    visits: tuple[Visit, ...] = (FOLLOW,)
    retries: Retries = Retries()


class Fault(Protocol):
    """A failure to inject: it can undo itself, and probe whether it took effect."""

    @property
    def name(self) -> str:
        """Name in the report: `replica link +120 ms`."""

    @property
    def needs(self) -> str:
        """The ability of the stack that it needs, one of `Stack.can`."""

    def inject(self, stack: Stack) -> Undo:
        """Cause the failure, and return what undoes it."""

    def probe(self, stack: Stack) -> Reading:
        """Measure, through the part or link under fault, the figure that the fault should move."""

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """True if the reading moved as far as this fault should move it."""

    def healed(self, before: Reading, after: Reading) -> bool:
        """True if the reading is back where it was."""


@dataclass(frozen=True)
class At:
    """A fault on a segment's timeline, in force until the segment's last answer is in.

    A fault at second 0 is injected before the cache is warmed: its segment has no healthy time.
    """

    second: float
    fault: Fault


@dataclass(frozen=True)
class Prediction:
    """The value of a measure by theory, from measured inputs; NaN where theory gives none."""

    formula: str
    source: str
    of: Callable[[Sequence[Segment]], float]
    bound: bool = False  # an upper bound rather than a value


@dataclass(frozen=True)
class Arm:
    """One way to run the system: the settings that differ, and what theory predicts."""

    name: str
    settings: Settings
    naive: bool = False
    predictions: Mapping[str, Prediction] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """One column of the table: a figure for each repetition, and the summary of them."""

    name: str
    unit: str
    title: str
    of: Callable[[Segment], Floats]
    summary: Callable[[Floats], Estimate]
    without: str = "there was nothing to measure it by"  # why there is no figure, if there is none


@dataclass(frozen=True)
class Claim:
    """Something that the run must show; `check` gets the results of all arms and does not raise."""

    text: str
    arm: str | None
    check: Callable[[Mapping[str, ArmResult]], tuple[Verdict, str]]
    full_only: bool = False


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
    costs: Sequence[str]  # measures of what a fix costs beside the naive arm
    quick: Mode
    full: Mode

    def mode(self, *, full: bool) -> Mode:
        """`full` for numbers to quote, else `quick`."""
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
