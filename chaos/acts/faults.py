"""Faults: each injects itself, returns its own undo, and probes its effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast, get_args

from chaos.acts import probes, witnesses
from chaos.model.evidence import CLOSED, ELSEWHERE, Reading, Segment
from chaos.model.experiment import Act
from chaos.model.stack import Link, PartName, Role, ServerName, Stack, Target, Undo
from chaos.model.testimony import Span, Witnesses
from chaos.runtimes.topology import LINKS

LinkFaultKind = Literal["slow", "cut"]
PartFaultKind = Literal["kill", "pause"]
FaultKind = Literal[LinkFaultKind, PartFaultKind]
SLOW_PROBE_TIMEOUT_S = 3.0
SHORT_S = 0.2  # of this machine, while it is busy
LINGERS_S = 4.0  # in which a part turns away first all who gave up on it, or what is slow drains
LATENCY_MAX_MS = 60_000
TARGETS = (*get_args(PartName), *get_args(Role))


@dataclass(frozen=True)
class Slow:
    """Delay every answer on a link by `latency_ms`: a slow database, a far cache."""

    link: Link
    latency_ms: float

    needs = "toxic"
    lingers_s = LINGERS_S
    moments: ClassVar[Mapping[str, float]] = {}
    brings: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    hits: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        _one_of("link", self.link, get_args(Link))

    @property
    def name(self) -> str:
        """`replica link +120 ms`."""
        return f"{self.link} link +{self.latency_ms:g} ms"

    @property
    def puts(self) -> Mapping[str, str]:
        """A toxic on the link."""
        return {f"{self.link} link": f"latency downstream latency={self.latency_ms:.0f}"}

    def aimed(self, _stack: Stack) -> Slow:
        """The act itself: a link keeps its name wherever it leads."""
        return self

    def inject(self, stack: Stack) -> Undo:
        """Put a latency toxic on the answers of the link."""
        return stack.toxic(self.link, "latency", "downstream", latency=self.latency_ms)

    @property
    def probe_s(self) -> float:
        """Two round trips to connect, and those that are measured."""
        latency_s = self.latency_ms / 1000
        return 2 * latency_s + probes.round_trips_s(latency_s) + SHORT_S

    def probe(self, stack: Stack) -> Reading:
        """The quickest of some round trips through the link itself."""
        url = stack.endpoints.links[self.link]
        timeout_s = SLOW_PROBE_TIMEOUT_S + self.probe_s
        took_ms = probes.round_trip_ms(url, timeout_s)
        return Reading(probes.query_of(url), round(took_ms, 2), "ms")

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """The round trip grew by at least nine tenths of what was injected."""
        return during.value - before.value >= 0.9 * self.latency_ms

    def healed(self, before: Reading, after: Reading) -> bool:
        """The round trip is back: no more than a tenth of the latency is left of it."""
        return after.value - before.value <= 0.1 * self.latency_ms

    def testimony(
        self, segment: Segment, in_force: Span, control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """All that came over the link took as long, and no longer."""
        return witnesses.slow(self.link, self.latency_ms, segment, in_force, control)


class _Unresponsive:
    """Base of faults under which nothing answers: of three tries all before, none during."""

    probe_s = probes.ANSWER_TIMEOUT_S + SHORT_S
    lingers_s = 0.0

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """Every try was answered before, none during the fault."""
        return before.value == probes.TRIES and during.value == 0

    def healed(self, before: Reading, after: Reading) -> bool:
        """Every try is answered again."""
        return before.value == after.value == probes.TRIES


@dataclass(frozen=True)
class Cut(_Unresponsive):
    """Break a link: close its connections, refuse new ones."""

    link: Link

    needs = "toxic"
    moments: ClassVar[Mapping[str, float]] = {}
    brings: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    hits: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        _one_of("link", self.link, get_args(Link))

    @property
    def name(self) -> str:
        """`replica link cut`."""
        return f"{self.link} link cut"

    @property
    def puts(self) -> Mapping[str, str]:
        """The link is closed."""
        return {f"{self.link} link": CLOSED}

    def aimed(self, _stack: Stack) -> Cut:
        """The act itself: a link keeps its name wherever it leads."""
        return self

    def inject(self, stack: Stack) -> Undo:
        """Close the link in Toxiproxy."""
        return stack.cut(self.link)

    def probe(self, stack: Stack) -> Reading:
        """Tries answered through the link itself."""
        return _tries_answered(stack.endpoints.links[self.link])

    def testimony(
        self, segment: Segment, in_force: Span, _control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """Nothing came over the link."""
        return witnesses.cut(self.link, segment, in_force)


@dataclass(frozen=True)
class Kill(_Unresponsive):
    """Kill a part, or the server that has a role; undoing starts it again."""

    part: Target

    needs = "kill"
    lingers_s = LINGERS_S
    moments: ClassVar[Mapping[str, float]] = {}

    def __post_init__(self) -> None:
        _one_of("part", self.part, TARGETS)

    @property
    def hits(self) -> frozenset[str]:
        """The part; of a server, whichever role it has."""
        return _counted_as(self.part)

    @property
    def brings(self) -> frozenset[tuple[str, str]]:
        """The links to a server lead nowhere while it dies, so that what they hold dies with it."""
        roles = _counted_as(self.part) & {*get_args(Role)}
        own = [link for link, route in LINKS.items() if route.target in roles]
        return frozenset((f"{link} link", ELSEWHERE) for link in own)

    @property
    def name(self) -> str:
        """`redis killed`."""
        return f"{self.part} killed"

    @property
    def puts(self) -> Mapping[str, str]:
        """The part is down."""
        return {self.part: "down"}

    def aimed(self, stack: Stack) -> Kill:
        """The act at the part itself."""
        return replace(self, part=stack.part_of(self.part))

    def inject(self, stack: Stack) -> Undo:
        """SIGKILL all its processes."""
        part = stack.part_of(self.part)
        stack.kill(part)

        def undo() -> None:
            if stack.state().parts[part] == "down":
                stack.start(part)

        return undo

    def probe(self, stack: Stack) -> Reading:
        """Tries answered by the part itself."""
        return _tries_answered(probes.address(stack.endpoints, self.part))

    def testimony(
        self, segment: Segment, in_force: Span, _control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """Nothing was answered by the part."""
        return witnesses.silent(self.part, segment, in_force)


@dataclass(frozen=True)
class Pause(_Unresponsive):
    """Hang a part, or the server that has a role: it keeps its connections, and answers on none."""

    part: Target

    needs = "pause"
    lingers_s = LINGERS_S
    moments: ClassVar[Mapping[str, float]] = {}
    brings: ClassVar[frozenset[tuple[str, str]]] = frozenset()

    def __post_init__(self) -> None:
        _one_of("part", self.part, TARGETS)

    @property
    def hits(self) -> frozenset[str]:
        """The part; of a server, whichever role it has."""
        return _counted_as(self.part)

    @property
    def name(self) -> str:
        """`redis paused`."""
        return f"{self.part} paused"

    @property
    def puts(self) -> Mapping[str, str]:
        """The part is paused."""
        return {self.part: "paused"}

    def aimed(self, stack: Stack) -> Pause:
        """The act at the part itself."""
        return replace(self, part=stack.part_of(self.part))

    def inject(self, stack: Stack) -> Undo:
        """SIGSTOP all its processes."""
        part = stack.part_of(self.part)
        stack.pause(part)

        def undo() -> None:
            if stack.state().parts[part] == "paused":
                stack.resume(part)

        return undo

    def probe(self, stack: Stack) -> Reading:
        """Tries answered by the part itself."""
        return _tries_answered(probes.address(stack.endpoints, self.part))

    def testimony(
        self, segment: Segment, in_force: Span, _control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """Nothing was answered by the part."""
        return witnesses.silent(self.part, segment, in_force)


def fault(kind: str, target: str, latency_ms: float | None = None) -> Act:
    """Make a fault of its kind, its link or part, and its latency.

    Raises:
        ValueError: one of them does not exist; the message lists those that do.
    """
    _one_of("fault", kind, get_args(FaultKind))
    if kind != "slow" and latency_ms is not None:
        raise ValueError(f"latency_ms is for slow, not for {kind}")
    match kind:
        case "slow":
            return Slow(cast(Link, target), _latency_ms(latency_ms))
        case "cut":
            return Cut(cast(Link, target))
        case "kill":
            return Kill(cast(Target, target))
        case _:
            return Pause(cast(Target, target))


def _counted_as(part: Target) -> frozenset[str]:
    return frozenset(get_args(Role)) if part in get_args(ServerName) else frozenset({part})


def _tries_answered(url: str) -> Reading:
    return Reading(probes.query_of(url), probes.tries_answered(url), f"of {probes.TRIES} answered")


def _one_of(what: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise ValueError(f"there is no {what} {name!r}: choose one of {', '.join(known)}")
    return name


def _latency_ms(given: object) -> float:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if number and given in range(1, LATENCY_MAX_MS + 1):
        return float(cast(float, given))
    raise ValueError(f"slow needs latency_ms, a whole number from 1 to {LATENCY_MAX_MS}")
