"""An experiment as a value: traffic, acts, arms, measures and claims."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from chaos.model.evidence import (
    CONTROL,
    ArmResult,
    Estimate,
    Floats,
    Reading,
    Segment,
    Verdict,
)
from chaos.model.evidence import Mode as Mode
from chaos.model.stack import Settings, Stack, Undo
from chaos.model.testimony import Span, Witnesses
from chaos.model.traffic import Traffic

AGAIN_S = 0.3  # for the second probe to begin late
SEED_MAX = 2**53 - 1  # beyond it, not every reader of JSON keeps the same number


class Act(Protocol):
    """Something done to a stack: it can undo itself, and probe whether it took effect."""

    @property
    def name(self) -> str:
        """Name in the report: `replica link +120 ms`."""

    @property
    def needs(self) -> str:
        """The ability of the stack that it needs, one of `Stack.can`."""

    @property
    def hits(self) -> frozenset[str]:
        """Parts that it stops or hangs: they may not answer, and may count from zero afterwards.

        A server of Postgres counts under its role, so that role is named, or both.
        """

    @property
    def puts(self) -> Mapping[str, str]:
        """The state of parts and links while it is in force: `{"redis": "paused"}`.

        A link is `replica link`, and has the text of its toxic, or is `closed`. A role stands for
        the server that has it when the act is injected.
        """

    @property
    def probe_s(self) -> float:
        """Duration of its probe while it is in force: it must last longer to be proven."""

    @property
    def lingers_s(self) -> float:
        """How long its effect may be seen once it is undone."""

    @property
    def moments(self) -> Mapping[str, float]:
        """When things happened that it brings about, by name: empty unless it does so by steps."""

    @property
    def brings(self) -> frozenset[tuple[str, str]]:
        """States of parts and links that it may bring about while it is in force."""

    def aimed(self, stack: Stack) -> Act:
        """The same act, at the server that has now the role it is aimed at."""

    def inject(self, stack: Stack) -> Undo:
        """Do it, and return what undoes it, which does nothing where nothing can be undone."""

    def probe(self, stack: Stack) -> Reading:
        """Measure, through the part or link that it acts on, the figure that it should move."""

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """True if the reading moved as far as this act should move it."""

    def healed(self, before: Reading, after: Reading) -> bool:
        """True if the reading is back where it was, or where it should be if it is not undone."""

    def testimony(
        self, segment: Segment, in_force: Span, control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """What a segment's own look-ups, requests and samples say of it; empty if nothing can."""


@dataclass(frozen=True)
class At:
    """An act on a segment's timeline, undone at `until_s`, or with the segment's last answer.

    An act at second 0 is injected before the links are made and followed: its segment has no
    healthy time.
    """

    second: float
    act: Act
    until_s: float | None = None

    def probed_again(self, segment_s: float) -> float | None:
        """The second of its second probe, which ends before the act does.

        `None` if the act is too short for two, in a segment of this length.
        """
        until_s = segment_s if self.until_s is None else min(self.until_s, segment_s)
        second = until_s - self.act.probe_s - AGAIN_S
        return second if second >= max(self.second, 0.0) + self.act.probe_s else None


Timeline = Sequence[At]


@dataclass(frozen=True)
class Prediction:
    """The value of a measure by theory, from measured inputs; NaN where theory gives none."""

    formula: str
    source: str
    of: Callable[[Sequence[Segment]], float]
    bound: bool = False  # an upper bound rather than a value


@dataclass(frozen=True)
class Input:
    """A figure that theory starts from: `λ 212 /s`."""

    name: str
    symbol: str
    unit: str
    of: Callable[[Sequence[Segment]], float]


@dataclass(frozen=True)
class Arm:
    """One way to run the system: what differs from the experiment, and what theory predicts.

    Quick mode leaves a `full_only` arm out unless it is named. Its segments last `least_s` where
    those of the mode are shorter.
    """

    name: str
    settings: Settings = field(default_factory=dict)
    naive: bool = False
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    traffic: Traffic | None = None
    timeline: Timeline | None = None
    full_only: bool = False
    least_s: float = 0.0


class Summary(Protocol):
    """An estimate of all figures of an arm, its interval missing the truth by `tail` a side."""

    def __call__(self, values: Floats, tail: float = ..., /) -> Estimate:
        """The estimate."""


@dataclass(frozen=True)
class Measure:
    """One column of the table: a figure for each event, and the summary of them.

    A figure of +inf did not come about within its segment: it is censored, and counts as at least
    `censored_at` of that segment. `within` is an interval of one segment's figure from what
    repeats within it, such as requests; infinite where that is too little.
    """

    name: str
    unit: str
    title: str
    of: Callable[[Segment], Floats]
    summary: Summary
    without: str = "there was nothing to measure it by"  # why there is no figure, if there is none
    censored_at: Callable[[Segment], float] = lambda segment: segment.ended_s - segment.started_s
    within: Callable[[Segment, float], tuple[float, float]] | None = None
    series: str = ""  # the sampled series that it reads, if it reads one
    sums: tuple[str, ...] = ()  # figures of ledgers that it adds up, such as `edits_lost`


@dataclass(frozen=True)
class Event:
    """What is repeated and counted in a segment, and when each began."""

    noun: str
    plural: str
    of: Callable[[Segment], Floats]


SEGMENT = Event("segment", "segments", lambda segment: np.array([segment.started_s]))

Rows = Mapping[str, ArmResult]


@dataclass(frozen=True)
class Claim:
    """Something that the run must show of the arms it names, by some measures.

    `arms` empty: of every arm but `but`. `check` gets the results of the arms that ran and does
    not raise. A claim about an arm that fixes the failure, and that was left out, is listed as
    not asked; naive arms always run.
    """

    text: str
    arms: tuple[str, ...]
    measures: tuple[Measure, ...]
    check: Callable[[Rows], tuple[Verdict, str]]
    but: tuple[str, ...] = ()
    full_only: bool = False
    is_failure: bool = False  # that a naive arm must show

    def arms_of(self, names: Iterable[str]) -> tuple[str, ...]:
        """The arms that it is about, of an experiment with these."""
        return self.arms or tuple(name for name in names if name not in self.but)


@dataclass(frozen=True)
class Strip:
    """A strip of the report's timelines: a figure against time, beside the rate of requests.

    `requests` draws one point a request of a column (`latency_ms`, `age_ms`) with the median and
    the 99th percentile of `latency_ms`; `look-ups` draws bars of queries to a database; `samples`
    draws a sampled series by name (see `chaos.model.series`), as a rate if `per_s`; `roles` draws
    which database server led, followed or was down; `writes` draws bars of acknowledged writes,
    with those that the primary has lost.
    `rank` limits the first two to one link, named so in `of`.
    """

    title: str
    unit: str
    source: Literal["requests", "look-ups", "samples", "roles", "writes"]
    value: str = ""
    per_s: bool = False
    rank: int | None = None
    of: str = "all requests"


LATENCY = Strip("Latency", "ms", "requests", "latency_ms")
ROLES = Strip("Roles of the servers", "", "roles")
ACKNOWLEDGED = Strip("Acknowledged writes", "writes", "writes")
FAILOVER_STRIPS = (ROLES, ACKNOWLEDGED, LATENCY)


@dataclass(frozen=True)
class Experiment:
    """A question, the traffic and acts that ask it, and the arms that answer."""

    name: str
    lesson: str  # the module's docstring: its first sentence is the question
    traffic: Traffic
    timeline: Timeline
    arms: Sequence[Arm]
    measures: Sequence[Measure]  # the first answers the question
    claims: Sequence[Claim]
    quick: Mode
    full: Mode
    settings: Settings = field(default_factory=dict)
    costs: Sequence[Measure] = ()  # what a fix costs beside the naive arm
    event: Event = SEGMENT
    inputs: Sequence[Input] = ()
    strips: Sequence[Strip] = (LATENCY,)

    def mode(self, *, full: bool) -> Mode:
        """`full` for numbers to quote, else `quick`."""
        return self.full if full else self.quick

    def arms_in(self, mode: Mode, names: Collection[str] = ()) -> Sequence[Arm]:
        """The arms of a run in this mode: with `names`, those and the naive ones."""
        if names:
            return [arm for arm in self.arms if arm.naive or arm.name in names]
        return [arm for arm in self.arms if mode.name == "full" or not arm.full_only]

    def lasts_s(self, mode: Mode, arm: str, number: int) -> float:
        """The length of an arm's segment in a round of that number, or of the control."""
        least_s = (each.least_s for each in self.arms if each.name == arm)
        return max(mode.lasts_s(number), *least_s, 0.0)

    def traffic_s(self, mode: Mode) -> float:
        """Seconds of traffic of a run with all arms of the mode, without further rounds."""
        round_s = sum(self.lasts_s(mode, arm.name, 0) for arm in self.arms_in(mode))
        return mode.control_s + mode.rounds * round_s

    def traffic_of(self, arm: Arm) -> Traffic:
        """The arm's own traffic, or the experiment's."""
        return arm.traffic or self.traffic

    def timeline_of(self, arm: Arm) -> Timeline:
        """The arm's own timeline, or the experiment's."""
        return self.timeline if arm.timeline is None else arm.timeline

    def needs_of(self, arm: Arm) -> frozenset[str]:
        """Abilities of the stack that an arm's acts need."""
        return frozenset(at.act.needs for at in self.timeline_of(arm))

    def traffic_in(self, segment: Segment) -> Traffic:
        """The traffic planned for a segment: the naive arm's for the control."""
        return self.traffic_of(self.naive if segment.arm == CONTROL else self.arm(segment.arm))

    def timeline_in(self, segment: Segment) -> Timeline:
        """The acts planned for a segment: none for the control."""
        return [] if segment.arm == CONTROL else self.timeline_of(self.arm(segment.arm))

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        (found,) = (arm for arm in self.arms if arm.name == name)
        return found

    @property
    def headline(self) -> Measure:
        """The measure that answers the question."""
        return self.measures[0]

    @property
    def question(self) -> str:
        """The first paragraph of the lesson."""
        return " ".join(self.lesson.strip().split("\n\n")[0].split())

    @property
    def naive(self) -> Arm:
        """The first arm without a fix, with which the others are compared."""
        return next(arm for arm in self.arms if arm.naive)
