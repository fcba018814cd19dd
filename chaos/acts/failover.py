"""Failover and switchover: the primary's role moves to the replica, unplanned and planned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, Self

import psycopg

from chaos.acts import witnesses
from chaos.failover.orders import (
    ALONE,
    DEGRADED,
    DEMOTED,
    FAILED,
    LED,
    PROMOTED,
    SILENT,
    Candidate,
    Control,
    Watch,
)
from chaos.failover.process import Event, FailoverProcess
from chaos.failover.watchdog import demote, wait_for
from chaos.model.evidence import CLOSED, ELSEWHERE, LAST_ANSWER, PROMOTING, Reading, Segment
from chaos.model.stack import FOLLOWERS, Link, Role, ServerName, Stack, StackError, Undo
from chaos.model.testimony import Span, Witnesses
from chaos.runtimes.server_queries import explained, flush, let_write, timeline
from chaos.runtimes.topology import DATABASE, LINKS

TO_PRIMARY: tuple[Link, ...] = ("primary", "worker-primary", "replication")
LED_ELSEWHERE = frozenset(
    (f"{link} link", ELSEWHERE)
    for link, route in LINKS.items()
    if route.target in ("primary", "replica")
)
ROLES_MOVE = frozenset({"primary", "replica"})
PROMOTION = "promote"  # who holds the lab while an operator moves the role
ENDS_S = 10.0
CAUGHT_UP_S = 5.0
DEAD_S = 3.0
POLL_S = 0.002
FLUSHED = "SELECT pg_current_wal_flush_lsn()::text"
REPLAYED = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"


class Program(Protocol):
    """One process of a failover, or several that work as one."""

    events: dict[str, Event]

    @property
    def said(self) -> str:
        """Its events, in words."""

    @property
    def runs(self) -> bool:
        """True while it has not ended."""

    def stop(self) -> None:
        """End it."""


@dataclass
class Programs:
    """The processes of a failover, and the times of their events."""

    running: list[Program] = field(default_factory=list)
    moments: dict[str, float] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """Their events, in words."""
        return "; ".join(process.said for process in self.running)

    @property
    def events(self) -> frozenset[str]:
        """Names of the events so far."""
        return frozenset(name for process in self.running for name in process.events)

    def has(self, event: str) -> bool:
        """True if one of them has reported it."""
        return event in self.events

    @property
    def reading(self) -> Reading:
        """How many are at work."""
        count = sum(process.runs for process in self.running)
        return Reading("programs beside the servers", float(count), "at work")

    def on_promotion(self, stack: Stack) -> Callable[[str], None]:
        """A listener to events that has the stack find its roles after a promotion."""

        def on_event(name: str) -> None:
            if name == PROMOTED:
                stack.find_roles()

        return on_event

    def stop(self) -> None:
        """End all of them."""
        for process in self.running:
            process.stop()

    def note(self) -> None:
        """Keep the times of their events."""
        self.moments = {
            name: float(event["t_s"])
            for process in self.running
            for name, event in process.events.items()
            if "t_s" in event
        }
        silent = [process.events[SILENT] for process in self.running if SILENT in process.events]
        if silent:
            self.moments[LAST_ANSWER] = float(silent[0]["last_answer_s"])


@dataclass(frozen=True)
class ByPrograms:
    """An act carried out by programs beside the servers; its moments are those of their events."""

    programs: Programs = field(default_factory=Programs, init=False, repr=False, compare=False)

    needs = "sql"
    probe_s = 0.2
    lingers_s = 0.0
    puts: ClassVar[Mapping[str, str]] = {}

    @property
    def at_work(self) -> int:
        """Number of its programs."""
        return 1

    @property
    def moments(self) -> Mapping[str, float]:
        """Times of the programs' events, known once they have ended."""
        return self.programs.moments

    def aimed(self, _stack: Stack) -> Self:
        """The act with programs of its own."""
        return replace(self)

    def probe(self, _stack: Stack) -> Reading:
        """Programs at work: those that were started and have not ended."""
        return self.programs.reading

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """All are at work, and none was before."""
        return before.value == 0 and during.value == self.at_work

    def healed(self, before: Reading, after: Reading) -> bool:
        """None is at work any more."""
        return before.value == after.value == 0


@dataclass(frozen=True)
class Failover(ByPrograms):
    """A controller that promotes a standby once the primary is silent for `detect_s`.

    Of two it promotes the one that has more. It watches from their side, through the link of the
    replication, and leads `leads` to the new primary. Without, clients have to find it, and nothing
    keeps them from the old one. With `demotes_s` a watchdog beside the primary has it refuse writes
    once no replica has followed it for so long.
    """

    detect_s: float = 0.5
    leads: tuple[Link, ...] = TO_PRIMARY
    demotes_s: float | None = None

    hits: ClassVar[frozenset[str]] = ROLES_MOVE

    @property
    def brings(self) -> frozenset[tuple[str, str]]:
        """Links of servers led elsewhere, and those that it leads closed before."""
        return LED_ELSEWHERE | {(f"{link} link", CLOSED) for link in self.leads}

    @property
    def name(self) -> str:
        """`failover after 0.5 s`."""
        also = "" if self.demotes_s is None else f", demotion after {self.demotes_s:g} s"
        return f"failover after {self.detect_s:g} s{also}"

    @property
    def at_work(self) -> int:
        """The controller, and the watchdog if there is one."""
        return 1 + (self.demotes_s is not None)

    def inject(self, stack: Stack) -> Undo:
        """Start the controller, and the watchdog if there is one."""
        ends = stack.endpoints
        control = Control(
            watched=ends.links["replication"],
            candidates=tuple(
                Candidate(server=server, url=url, upstream=stack.upstream(server))
                for server, url in standbys_of(stack).items()
            ),
            detect_s=self.detect_s,
            toxiproxy=ends.toxiproxy,
            leads=self.leads,
        )
        try:
            self._start(control, stack)
            if self.demotes_s is not None:
                watch = Watch(primary=ends.primary, role=DATABASE, lost_s=self.demotes_s)
                self._start(watch, stack)
        except BaseException:  # Ctrl-C, too: a controller left at work would promote
            self.programs.stop()
            raise
        return lambda: end_failover(self.programs, stack)

    def _start(self, order: Control | Watch, stack: Stack) -> None:
        on_event, workdir = self.programs.on_promotion(stack), stack.workdir("failover")
        self.programs.running.append(FailoverProcess(order, workdir, on_event))

    def testimony(
        self, segment: Segment, _in_force: Span, _control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """It promoted when the primary was silent for its time, no write names the new timeline
        before, no other link was led, and no demotion came too soon."""
        others = [link for link in TO_PRIMARY if link not in self.leads]
        seen = [
            *witnesses.promoted(self.name, segment),
            *witnesses.silent_for(self.name, self.detect_s, segment),
            *witnesses.left_alone(self.name, others, segment),
        ]
        if self.demotes_s is None:
            return seen
        return [*seen, *witnesses.after_a_loss(self.name, ALONE, self.demotes_s, segment)]


def end_failover(programs: Programs, stack: Stack) -> None:
    """Let a failover that has begun end, stop the programs, and have the old primary follow.

    Raises:
        StackError: it does not end; the message has all events, and the state of each server.
    """
    deadline_s = time.monotonic() + ENDS_S
    while programs.has(SILENT) and not programs.has(LED):
        if time.monotonic() > deadline_s or programs.has(FAILED):
            break
        time.sleep(POLL_S)
    programs.stop()
    programs.note()
    if programs.has(FAILED) or (programs.has(SILENT) and not programs.has(LED)):
        raise StackError(f"the failover did not end: {programs.said}; {_servers(stack)}")
    stack.find_roles()
    stack.restore()


def standbys_of(stack: Stack) -> Mapping[ServerName, str]:
    """The servers that can be promoted, the replica first, and their URLs.

    Raises:
        StackError: there is no replica.
    """
    if "replica" not in stack.roles:
        raise StackError("nothing can be promoted: no server is the replica now")
    servers = [stack.roles[role] for role in FOLLOWERS if role in stack.roles]
    return {server: stack.endpoints.servers[server] for server in servers}


def _servers(stack: Stack) -> str:
    """The role or the error of each server, in words."""
    said = []
    for server, url in stack.endpoints.servers.items():
        try:
            number = timeline(url)
        except psycopg.Error as error:
            said.append(f"{server}: {str(error).strip()}")
        else:
            said.append(f"{server} leads timeline {number}" if number else f"{server} is a standby")
    return ", ".join(said)


@dataclass(frozen=True)
class Degrade(ByPrograms):
    """A watchdog lets commits wait for no replica once none has followed for `after_s`."""

    after_s: float = 0.5

    hits: ClassVar[frozenset[str]] = frozenset()
    brings: ClassVar[frozenset[tuple[str, str]]] = frozenset()

    @property
    def name(self) -> str:
        """`degrades after 0.5 s`."""
        return f"degrades after {self.after_s:g} s"

    def inject(self, stack: Stack) -> Undo:
        """Start the watchdog."""
        url = stack.endpoints.primary
        order = Watch(primary=url, role=DATABASE, lost_s=self.after_s, then="degrade")
        process = FailoverProcess(order, stack.workdir("failover"), lambda _: None)
        self.programs.running.append(process)

        def undo() -> None:
            process.stop()
            self.programs.note()
            if DEGRADED in process.events:
                with (
                    explained("commits cannot wait for the replica again"),
                    psycopg.connect(url, autocommit=True) as primary,
                ):
                    wait_for(primary, process.events[DEGRADED]["before"])

        return undo

    def testimony(
        self, segment: Segment, _in_force: Span, _control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """Commits were let go no sooner than `after_s` after another act began.

        Whether they wait at all shows in the answers, which claims are about.
        """
        return witnesses.after_a_loss(self.name, ALONE, self.after_s, segment)


@dataclass(frozen=True)
class Switchover:
    """Promote the replica on purpose: stop writes, wait until it has all of them, promote it.

    The links `leads` lead to it then, and the old primary returns as its replica when the act is
    undone. With `waits=False` it is promoted at once, while the old one still takes writes.
    """

    waits: bool = True
    leads: tuple[Link, ...] = TO_PRIMARY
    times: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    needs = "sql"
    probe_s = 0.2
    lingers_s = 0.0
    hits: ClassVar[frozenset[str]] = ROLES_MOVE
    puts: ClassVar[Mapping[str, str]] = {}
    brings: ClassVar[frozenset[tuple[str, str]]] = LED_ELSEWHERE

    @property
    def name(self) -> str:
        """`replica promoted`, whichever way."""
        return "replica promoted"

    @property
    def moments(self) -> Mapping[str, float]:
        """Times of the last write, of the promotion, and of the links led."""
        return self.times

    def aimed(self, _stack: Stack) -> Switchover:
        """The act with times of its own."""
        return replace(self)

    def inject(self, stack: Stack) -> Undo:
        """Demote the primary, promote the replica, lead the links.

        Raises:
            StackError: the replica did not catch up, and the primary takes writes again; or it was
                not promoted in time, and the primary refuses them, as it still may be.
        """
        (server, *_), old = standbys_of(stack), stack.endpoints.primary
        if self.waits:
            self._drain(old, stack)
        self._note(PROMOTING)
        try:
            stack.promote(server)
        except StackError as error:
            raise StackError(
                f"{server} may be the primary by now, so the one before takes no writes: {error}; "
                "restoring the servers, as `linkstorm heal` does, finds out who leads"
            ) from error
        self._note(PROMOTED)
        for link in self.leads:
            stack.lead(link, server)
        self._note(LED)
        return stack.restore

    def _drain(self, old: str, stack: Stack) -> None:
        """Stop writes until the replica has all of them; let them go on if it does not."""
        try:
            self._stop_writes(old, stack)
        except BaseException as error:  # Ctrl-C, too: nobody else lets it take writes again
            with suppress(StackError):
                let_write(old)
            if isinstance(error, (psycopg.Error, StackError)):
                raise StackError(f"no switchover: {error}") from error
            raise

    def _stop_writes(self, old: str, stack: Stack) -> None:
        """Have the primary refuse writes, and wait until the replica has the last of them.

        What was acknowledged without a flush is flushed first, or it would not be sent.
        """
        with psycopg.connect(old, autocommit=True) as primary:
            demote(primary, DATABASE)
            self._note(DEMOTED)
            flush(old)
            end = _one(primary, FLUSHED)
        deadline_s = time.monotonic() + CAUGHT_UP_S
        with psycopg.connect(stack.endpoints.replica, autocommit=True) as replica:
            while not _one(replica, REPLAYED, end):
                if time.monotonic() > deadline_s:
                    raise StackError(f"the replica did not catch up within {CAUGHT_UP_S:g} s")
                time.sleep(POLL_S)

    def _note(self, moment: str) -> None:
        self.times[moment] = time.monotonic()

    def probe(self, stack: Stack) -> Reading:
        """The timeline of the primary, which each promotion raises."""
        return Reading("the timeline of the primary", float(timeline(stack.endpoints.primary)), "")

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """A new timeline began."""
        return during.value > before.value

    def healed(self, before: Reading, after: Reading) -> bool:
        """It goes on: roles have moved for good."""
        return after.value > before.value

    def testimony(
        self, segment: Segment, _in_force: Span, _control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """It promoted, and no write names the new timeline before."""
        return witnesses.promoted(self.name, segment)


def move_primary(stack: Stack) -> Iterator[str]:
    """Move the primary's role to the replica for good; yield each step in words.

    The replica of a primary that answers has all of its writes first. One that does not answer for
    `DEAD_S` is taken for dead.

    Raises:
        StackError: there is no replica, or it does not catch up.
    """
    before = _roles_now(stack)
    server, *_ = standbys_of(stack)
    if "primary" in before:
        Switchover().inject(stack)
        yield f"{server} is the primary, and has all that {before['primary']} acknowledged"
    else:
        server = stack.furthest_standby()
        stack.promote(server)
        for link in TO_PRIMARY:
            stack.lead(link, server)
        yield f"{server} is the primary: the one before gives no answer, and may have had more"
    stack.restore()
    yield f"{stack.roles['replica']} follows it"


def _roles_now(stack: Stack) -> Mapping[Role, ServerName]:
    """The roles; while no server says that it is the primary, look for another `DEAD_S`."""
    deadline_s = time.monotonic() + DEAD_S
    while "primary" not in (found := dict(stack.find_roles())) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return found


def _one(server: psycopg.Connection, query: str, *values: object) -> object:
    row = server.execute(query.encode(), values or None).fetchone()
    assert row is not None
    return row[0]
