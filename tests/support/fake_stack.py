"""A stack that exists only in arithmetic: whole experiments in milliseconds, with seeded faults.

It simulates a hot key that expires under Poisson arrivals for each way to fill a miss, visits that
write (`tests.support.fake_visits`), and writes the same files that real parts write.
"""

from __future__ import annotations

import csv
import heapq
import json
import math
import random
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TextIO, cast

import numpy as np

from chaos.acts.faults import Kill, Slow
from chaos.engine.announce import announcer
from chaos.engine.run import InDoubt, Lab, Order
from chaos.experiments import load as load_experiment
from chaos.judge.doubt import arms_in_doubt
from chaos.model.arrivals import arrivals
from chaos.model.arrivals import visits as visits_of
from chaos.model.evidence import HOT_RANK, Generator, InForce, ReadBack, Reading, Segment
from chaos.model.experiment import Act, At, Experiment
from chaos.model.lab import INCARNATION, Counters, Links
from chaos.model.stack import (
    FOLLOWERS,
    SERVER_COUNT,
    THIRD,
    Endpoints,
    Link,
    LinkState,
    PartDied,
    PartName,
    PartState,
    Role,
    ServerHost,
    ServerName,
    Settings,
    Stack,
    StackError,
    State,
    Undo,
    servers_asked,
)
from chaos.model.testimony import Span, Witnesses
from chaos.model.traffic import FOLLOW, Traffic
from chaos.record.reader import read_evidence
from chaos.record.writer import SCHEMAS, RecordWriter
from chaos.runtimes.server_roles import ServerRoles, following
from chaos.runtimes.topology import LINKS, PARTS, PARTS_AND_THIRD, ROLES, SERVERS, WEB, led_by
from tests.support.fake_parts import answering, not_while
from tests.support.fake_visits import Answer, Arrival, Held, Outage, visits

TOKEN = "a-token"
HIT_S = 0.001
SENT_S = 0.0002  # how late after it is due a request leaves
LATE_S = {"generator a little late": 0.030, "generator late": 0.200}
YOUNG_MS = 500  # an entry that is still fresh when a late request is answered
HALF_S, HANG_S = 1.5, 3.0
STEP_S = 0.0004
ORIGIN_S = 0.0008
DEFAULTS = {
    "CACHE_TTL_JITTER": "0.1", "NEAR_CACHE_TTL_S": "0.0", "NEGATIVE_TTL_S": "2.0",
    "READ_FROM": "replica-then-primary", "STALE_IF_ERROR_S": "3600.0",
}  # fmt: skip
READY_S = 0.003
COUNTING = ("web-1", "web-2", *SERVERS, "redis", "worker")


class FakeClock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.t_s = 1000.0

    def now_s(self) -> float:
        return self.t_s

    def sleep(self, duration_s: float) -> None:
        self.t_s += max(duration_s, 0.0)


class Inline(Executor):
    """Runs at once whatever is submitted, so that time passes as the clock says."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class FakeToxic:
    link: Link
    kind: str
    stream: str
    latency_ms: float

    def __str__(self) -> str:
        return f"{self.kind} {self.stream} latency={self.latency_ms:g}"


@dataclass
class World:
    """Everything the fake parts share; `flaws` is what a test wants to go wrong."""

    flaws: frozenset[str] = frozenset()
    clock: FakeClock = field(default_factory=FakeClock)
    settings: dict[str, str] = field(default_factory=dict)
    parts: dict[str, PartState] = field(default_factory=lambda: dict.fromkeys(PARTS, "up"))
    roles: ServerRoles = field(default_factory=ServerRoles)
    leads: dict[Link, PartName] = field(default_factory=lambda: led_by(ROLES))
    closed: set[Link] = field(default_factory=set)
    cut_off: set[ServerName] = field(default_factory=set)
    toxics: list[FakeToxic] = field(default_factory=list)
    running: bool = False
    logs: Path = Path()
    look_ups: int = 0
    answered: int = 0
    redis_commands: float = 0.0
    clicks: list[tuple[str, str]] = field(default_factory=list)
    links: dict[str, Held] = field(default_factory=dict)
    samples: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)
    incarnations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTING, 1))
    outages: list[Outage] = field(default_factory=list)
    prepared: int = 0
    segments: int = 0
    control: str | None = None
    grafana: str | None = None

    def has(self, flaw: str) -> bool:
        return flaw in self.flaws

    def fill(self) -> str:
        """The fill of misses: the setting, or that of a flaw like `lock acts as direct`."""
        fill = self.settings["CACHE_FILL"]
        acts = (flaw.partition(" acts as ") for flaw in self.flaws)
        return next((other for name, _, other in acts if name == fill and other), fill)

    def answers(self, kind: str, name: str) -> bool:
        """True if a part, or the target of a link, answers now; a paused one waits first."""
        if kind == "part":
            return not_while(lambda: self.parts[name] == "paused") and self.parts[name] == "up"
        link = cast(Link, name)
        through = self.answers("part", "toxiproxy") and self.is_open(link)
        time.sleep(self.latency_ms(link) / 1000)
        return through and self.answers("part", self.leads[link])

    def is_open(self, link: Link) -> bool:
        return link not in self.closed and self.leads[link] not in self.cut_off

    def latency_ms(self, link: Link) -> float:
        return sum(toxic.latency_ms for toxic in self.toxics if toxic.link == link)


class FakeRuntime:
    name = "fake"
    can = frozenset({"kill", "pause", "sql", "toxic"})

    def __init__(self, world: World) -> None:
        self.world = world

    @contextmanager
    def up(self, settings: Settings, logs: Path) -> Iterator[Stack]:
        self.world.logs, self.world.settings, self.world.running = logs, dict(settings), True
        try:
            with answering(self.world.answers) as url:
                yield FakeStack(self.world, url)
        finally:
            self.world.running = False


class FakeStack:
    versions: Mapping[str, str] = {"postgres": "fake"}
    can = FakeRuntime.can

    def __init__(self, world: World, url: str = "") -> None:
        self.world = world
        part = {name: f"{url}/part/{name}" for name in PARTS_AND_THIRD}
        self.on_fork: Callable[[str], None] = lambda _: None
        self._at_first = Endpoints(
            url=part["nginx"],
            web={name: part[name] for name in WEB},
            worker=part["worker"],
            servers={server: part[server] for server in SERVERS},
            primary=part[ROLES["primary"]],
            replica=part[ROLES["replica"]],
            redis=part["redis"],
            toxiproxy=part["toxiproxy"],
            links={link: f"{url}/link/{link}" for link in LINKS},
            control=world.control,
            control_token=TOKEN,
            grafana=world.grafana,
        )

    @property
    def endpoints(self) -> Endpoints:
        last, own = self.world.roles.last, self._at_first.servers
        servers = {server: own[server] for server in self._servers()}
        standby = last.get("standby") if THIRD in servers else None
        return replace(
            self._at_first,
            servers=servers,
            primary=servers[last["primary"]],
            replica=servers[last["replica"]],
            standby=servers[standby] if standby else None,
        )

    def _servers(self) -> list[ServerName]:
        return [server for server in SERVERS if server in self.world.parts]

    @property
    def roles(self) -> Mapping[Role, ServerName]:
        return self.world.roles.now

    def part_of(self, target: str) -> PartName:
        part = self.world.roles.part_of(target)
        if part not in self.world.parts:
            raise StackError(f"there is no {part} now: {SERVER_COUNT}=3 asks for it")
        return part

    def configure(self, settings: Settings) -> None:
        try:
            wanted = servers_asked(settings)
        except ValueError as wrong:
            raise StackError(str(wrong)) from wrong
        self.world.settings = dict(settings)
        if wanted > len(self._servers()):
            self.world.parts[THIRD] = "up"
        elif wanted < len(self._servers()):
            del self.world.parts[THIRD]
        primary = self.roles["primary"]
        if primary not in self.world.parts:
            primary = self.roles["replica"]
        self._have_lead(primary, [server for server in self._servers() if server != primary])

    def _have_lead(self, primary: ServerName, followers: Iterable[ServerName]) -> None:
        self.world.roles.put({"primary": primary, **following(followers, self.world.roles.last)})
        self.world.leads = {**self.world.leads, **led_by(self.roles)}

    def _followers(self) -> list[ServerName]:
        return [self.roles[role] for role in FOLLOWERS if role in self.roles]

    def keep_logs(self) -> None:
        pass

    def kill(self, part: str) -> None:
        self._put(self.part_of(part), "down")

    def pause(self, part: str) -> None:
        self._put(self.part_of(part), "paused")

    def resume(self, part: str) -> None:
        own = self.part_of(part)
        if self.world.parts[own] == "paused":
            self._mend(own)

    def start(self, part: str) -> None:
        own = self.part_of(part)
        for server in SERVERS:
            if server == own and self.world.roles.lost_by(server):
                self.rejoin(server, self.on_fork)
                return
        self._mend(own)

    def promote(self, server: ServerName) -> None:
        if server not in self._followers():
            raise StackError(f"{server} cannot be promoted: it is no standby")
        if self.world.parts[server] != "up":
            raise StackError(f"{server} cannot be promoted: it does not answer")
        others = [own for own in self._followers() if own != server]
        self.world.roles.put({"primary": server, **following(others, self.world.roles.last)})

    def find_roles(self) -> Mapping[Role, ServerName]:
        last = self.world.roles.last
        promoted = last["replica"] == last["primary"]
        up = {
            role: server
            for role, server in last.items()
            if self.world.parts[server] == "up" and not (role == "replica" and promoted)
        }
        self.world.roles.put(up)
        return up

    def rejoin(self, server: ServerName, read_fork: Callable[[str], None]) -> None:
        primary = self.roles.get("primary")
        if primary is None or primary == server:
            raise StackError(f"{server} cannot rejoin: there is no primary but it")
        self._mend(server)
        read_fork(self.endpoints.servers[server])
        self._have_lead(primary, [*self._followers(), server])

    def restore(self) -> None:
        self.world.closed.clear()
        self.world.cut_off.clear()
        self.world.toxics.clear()
        for server in self._servers():
            self._mend(server)
            if self.world.roles.lost_by(server):
                self.rejoin(server, self.on_fork)
        self.world.leads = {**self.world.leads, **led_by(self.roles)}

    def workdir(self, name: str) -> Path:
        return self.world.logs

    def host(self, server: ServerName) -> ServerHost:
        raise StackError(f"no program can run beside {server}")

    def toxic(self, link: Link, kind: str, stream: str, **attributes: float) -> Undo:
        toxic = FakeToxic(link, kind, stream, attributes["latency"])
        if not self.world.has("fault does nothing"):
            self.world.toxics.append(toxic)

        def undo() -> None:
            if toxic in self.world.toxics and not self.world.has("fault stays"):
                self.world.toxics.remove(toxic)

        return undo

    def cut(self, link: Link) -> Undo:
        if not self.world.has("fault does nothing"):
            self.world.closed.add(link)

        def undo() -> None:
            if not self.world.has("fault stays"):
                self.world.closed.discard(link)

        return undo

    def cut_off(self, server: ServerName) -> Undo:
        self.world.cut_off.add(server)
        return lambda: self.world.cut_off.discard(server)

    def furthest_standby(self) -> ServerName:
        return self._followers()[0]

    def upstream(self, server: ServerName) -> str:
        return server

    def lead(self, link: Link, server: ServerName) -> Undo:
        before = self.world.leads[link]
        self.world.leads[link] = server

        def undo() -> None:
            if self.world.leads[link] == server:
                self.world.leads[link] = before

        return undo

    def state(self) -> State:
        world = self.world
        through = world.parts["toxiproxy"] == "up"
        links: dict[str, LinkState] = {
            link: LinkState(
                through and world.is_open(link),
                [str(toxic) for toxic in world.toxics if through and toxic.link == link],
                world.leads[link],
            )
            for link in LINKS
        }
        return State(dict(world.parts), links)

    def heal(self) -> None:
        for part in [*self.world.parts]:
            self._mend(part)
        self.restore()

    def _put(self, part: str, state: PartState) -> None:
        if not self.world.has("fault does nothing"):
            self.world.parts[part] = state
            self.world.outages.append(Outage(part, self.world.clock.now_s()))

    def _mend(self, part: str) -> None:
        if self.world.has("fault stays"):
            return
        if self.world.parts[part] == "down" and part in COUNTING:
            self.world.incarnations[part] += 1
        self.world.parts[part] = "up"
        self.world.outages = [
            replace(outage, to_s=self.world.clock.now_s())
            if outage.part == part and math.isinf(outage.to_s)
            else outage
            for outage in self.world.outages
        ]

    def check(self) -> None:
        if self.world.has("part dies between segments") and self.world.parts["web-1"] == "down":
            raise PartDied("web-1", ["Traceback", "MemoryError"])
        if self.world.has("part dies") and self.world.segments >= 3:
            raise PartDied("web-1", ["Traceback", "MemoryError"])
        if self.world.has("interrupted") and self.world.segments >= 3:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class FakeSlow:
    """`chaos.acts.faults.Slow` without sockets: its probe reads the fake's own latency."""

    world: World
    latency_ms: float
    name: str = "replica link +120 ms"
    needs: str = "toxic"
    probe_s: float = 0.0
    lingers_s: float = 0.0
    hits: ClassVar[frozenset[str]] = frozenset()
    moments: ClassVar[Mapping[str, float]] = {}
    brings: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    link: ClassVar[Link] = "replica"

    @property
    def puts(self) -> Mapping[str, str]:
        return Slow("replica", self.latency_ms).puts

    def aimed(self, stack: Stack) -> Act:
        return self

    def testimony(
        self, segment: Segment, in_force: Span, control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        return Slow("replica", self.latency_ms).testimony(segment, in_force, control)

    def inject(self, stack: Stack) -> Undo:
        return stack.toxic("replica", "latency", "downstream", latency=self.latency_ms)

    def probe(self, stack: Stack) -> Reading:
        if self.world.has("probe fails"):
            raise ConnectionError("no answer")
        return Reading("SELECT 1", self.world.latency_ms("replica") + 0.5, "ms")

    def took_effect(self, before: Reading, during: Reading) -> bool:
        return during.value - before.value >= 0.9 * self.latency_ms

    def healed(self, before: Reading, after: Reading) -> bool:
        return after.value - before.value <= 0.1 * self.latency_ms


@dataclass(frozen=True)
class FakeKill:
    """`chaos.acts.faults.Kill` without sockets: its probe reads the state of the part."""

    world: World
    part: PartName = "redis"
    needs: str = "kill"
    probe_s: float = 0.0
    lingers_s: float = 0.0
    moments: ClassVar[Mapping[str, float]] = {}
    brings: ClassVar[frozenset[tuple[str, str]]] = frozenset()

    @property
    def name(self) -> str:
        return f"{self.part} killed"

    @property
    def hits(self) -> frozenset[str]:
        return frozenset({self.part})

    @property
    def puts(self) -> Mapping[str, str]:
        return Kill(self.part).puts

    def aimed(self, stack: Stack) -> Act:
        return replace(self, part=stack.part_of(self.part))

    def testimony(
        self, segment: Segment, in_force: Span, control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        return Kill(self.part).testimony(segment, in_force, control)

    def inject(self, stack: Stack) -> Undo:
        if self.world.has("act injected late"):
            self.world.clock.sleep(2.5)
        stack.kill(self.part)
        return lambda: stack.start(self.part)

    def probe(self, stack: Stack) -> Reading:
        if self.world.has("probe fails"):
            raise ConnectionError("no answer")
        return Reading("PING", 3.0 * (stack.state().parts[self.part] == "up"), "of 3 answered")

    def took_effect(self, before: Reading, during: Reading) -> bool:
        return before.value == 3 and during.value == 0

    def healed(self, before: Reading, after: Reading) -> bool:
        return before.value == after.value == 3


# --- the simulation ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """A look-up of a link for a request that was due at `due_s`."""

    due_s: float
    answered_s: float
    rank: int = 0

    @property
    def asked_s(self) -> float:
        return self.due_s + STEP_S

    @property
    def stored_s(self) -> float:
        return self.answered_s + STEP_S


class HotKey:
    """One cached key, the look-ups under way for it, and the rules of each way to fill it.

    It was made ready just before `start_s`, by a look-up at `read_s`.
    """

    def __init__(
        self,
        fill: str,
        settings: Mapping[str, str],
        delta_s: float,
        start_s: float,
        seed: int,
        read_s: float,
        rank: int = 0,
    ):
        self.rank = rank
        self.fill = fill
        self.ttl_s = float(settings["CACHE_TTL_S"])
        self.beta = float(settings["XFETCH_BETA"])
        self.delta_s = delta_s
        self.random = random.Random(seed)
        self.read_s = read_s
        self.expiry_s = start_s + self.ttl_s
        self.landing: list[tuple[float, float]] = []
        self.queries: list[Query] = []
        self.flights: dict[str, Query] = {}
        self.stale_s = HIT_S
        self.lasts, self.asks = 1.0, 1  # the share of its time, look-ups for each miss

    def follow(self, t_s: float, process: int) -> Answer:
        while self.landing and self.landing[0][0] <= t_s + SENT_S:
            stored_s, self.read_s = heapq.heappop(self.landing)
            self.expiry_s = stored_s + self.ttl_s * self.lasts
        fresh = t_s < self.expiry_s
        rule: Callable[[float, int, bool], Answer] = getattr(self, f"_{self.fill}")
        return rule(t_s, process, fresh)

    def _query(self, t_s: float) -> Query:
        query = Query(t_s, t_s + STEP_S + self.delta_s, self.rank)
        self.queries.append(query)
        heapq.heappush(self.landing, (query.stored_s, query.asked_s))
        return query

    def _hit(self, t_s: float, label: str = "hit") -> Answer:
        done_s = t_s + (self.stale_s if label == "stale" else HIT_S)
        return Answer(t_s, done_s, label, (done_s - self.read_s) * 1000, self.rank)

    def _own(self, t_s: float, label: str = "miss") -> Answer:
        return self._after(t_s, self._query(t_s), label)

    def _after(self, t_s: float, query: Query, label: str) -> Answer:
        done_s = query.stored_s + STEP_S
        return Answer(t_s, done_s, label, (done_s - query.asked_s) * 1000, self.rank)

    def _direct(self, t_s: float, process: int, fresh: bool) -> Answer:
        if fresh:
            return self._hit(t_s)
        for _ in range(self.asks - 1):
            self._own(t_s)
        return self._own(t_s)

    def _joined(self, t_s: float, flight: str, fresh: bool) -> Answer:
        if fresh:
            return self._hit(t_s)
        if flight in self.flights and self.flights[flight].stored_s > t_s:
            return self._after(t_s, self.flights[flight], "wait")
        self.flights[flight] = self._query(t_s)
        return self._after(t_s, self.flights[flight], "miss")

    def _singleflight(self, t_s: float, process: int, fresh: bool) -> Answer:
        return self._joined(t_s, f"process {process}", fresh)

    def _lock(self, t_s: float, process: int, fresh: bool) -> Answer:
        return self._joined(t_s, "all", fresh)

    _lease = _lock

    def _xfetch(self, t_s: float, process: int, fresh: bool) -> Answer:
        draw_s = -self.delta_s * self.beta * math.log(1 - self.random.random())
        if fresh and t_s + draw_s < self.expiry_s:
            return self._hit(t_s)
        return self._own(t_s, "early" if fresh else "miss")

    def _swr(self, t_s: float, process: int, fresh: bool) -> Answer:
        if not fresh and ("all" not in self.flights or self.flights["all"].stored_s <= t_s):
            self.flights["all"] = self._query(t_s)
        return self._hit(t_s, "hit" if fresh else "stale")


def _drawn(
    world: World, traffic: Traffic, duration_s: float, seed: int, from_s: float
) -> Iterator[Arrival]:
    """The arrivals of a segment: when each is due, and the rank it asks for."""
    batches = [*arrivals(traffic, duration_s, seed + world.has("another seed"))]
    times, ranks = (np.concatenate(column) for column in zip(*batches, strict=True))
    number = np.arange(len(times))
    if world.has("arrivals like clockwork"):
        times = (number + 0.5) * duration_s / len(times)
    if world.has("keys alike"):
        ranks = np.where(ranks == HOT_RANK, HOT_RANK, 1 + number % (traffic.keys - 1))
    if world.has("arrivals moved"):
        times = times + np.where(number % 1000 < 40, 0.001, 0.0)
    if world.has("other links"):
        ranks = np.where((ranks > 1) & (number % 50 == 0), 1, ranks)
    kept = number % 200 != 0 if world.has("arrivals dropped") else number >= 0
    due_s = (times + from_s)[kept]
    yield from sorted(zip(due_s.tolist(), ranks[kept].tolist(), strict=True))


def _cached(answers: Sequence[Answer], ready_s: float, shared: int) -> Iterator[Answer | Query]:
    """Visits' answers, by due time, with where each redirect was served from: from the cache, or
    from a look-up after a change."""
    read_s = dict.fromkeys(range(shared), ready_s)
    for answer in answers:
        if answer.operation != "follow":
            read_s.pop(answer.rank, None)
        elif answer.outcome == "ok":
            if answer.rank not in read_s:
                query = Query(answer.intended_s, answer.done_s - 2 * STEP_S, answer.rank)
                read_s[answer.rank] = query.asked_s
                answer = replace(answer, served_from="miss")
                yield query
            age_ms = (answer.done_s - read_s[answer.rank]) * 1000
            answer = replace(answer, age_ms=age_ms)
        yield answer


# --- load and observer -------------------------------------------------------------------------


class FakeLoad:
    metrics_url = None

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.shard = (directory / "requests-fake.csv").open("w", newline="", encoding="utf-8")
        self.rows = csv.writer(self.shard)
        self.rows.writerow(SCHEMAS["requests"])
        self.current: tuple[int, Traffic, float, int, float] | None = None
        self.half_over = False
        self.ready: list[Query] = []

    def prepare(self, traffic: Traffic) -> Links:
        world = self.world
        if world.has("part dies between segments") and world.segments >= 2:
            world.parts["web-1"] = "down"
            raise StackError("the load generator: GET /code1 answered 502")
        world.prepared += 1
        codes = [f"{world.prepared}-code{rank}" for rank in range(traffic.keys)]
        targets = [f"https://example.org/{code}" for code in codes]
        world.clicks += [(f"filled-{code}", code) for code in codes]
        world.links |= {c: Held(1, target) for c, target in zip(codes, targets, strict=True)}
        world.answered += 2 * traffic.keys
        due_s = world.clock.now_s()
        world.clock.sleep(READY_S)
        self.ready = [Query(due_s, world.clock.now_s() - STEP_S, r) for r in range(traffic.keys)]
        self._log(world.prepared, self.ready)
        world.look_ups += len(codes)
        with self._gateway_log() as log:
            log.writelines(_answered(302, due_s, world.clock.now_s(), code) for code in codes)
        return Links(codes, len(codes), targets)

    def start(self, segment: int, traffic: Traffic, duration_s: float, seed: int) -> float:
        self.current = (segment, traffic, duration_s, seed, self.world.clock.now_s())
        self.half_over = False
        self.world.segments = segment
        return self.world.clock.now_s()

    def finished(self) -> Generator | None:
        assert self.current is not None
        _, _, duration_s, _, started_s = self.current
        if not self.half_over and self.world.clock.now_s() >= started_s + HALF_S:
            self.half_over = True
            self._go_wrong_halfway()
        if self.world.clock.now_s() < started_s + duration_s + 0.5:
            return None
        return self._simulate(*self.current)

    def _go_wrong_halfway(self) -> None:
        if self.world.has("act ends early"):
            FakeStack(self.world).heal()
        if self.world.has("act healed late"):
            self.world.clock.sleep(HANG_S)
        if self.world.has("part restarts unplanned"):
            self.world.incarnations["web-1"] += 1

    def _simulate(
        self, segment: int, traffic: Traffic, duration_s: float, seed: int, started_s: float
    ) -> Generator:
        world = self.world
        draw = random.Random(seed)
        delta_s = ORIGIN_S + world.latency_ms("replica") / 1000
        start = (world.settings, delta_s, started_s, seed, self.ready[0].asked_s)
        key = HotKey(world.fill(), *start)
        key.beta *= 4 if world.has("xfetch is too eager") else 1
        key.stale_s += 0.1 if world.has("swr is slow") else 0
        key.asks = 3 if world.has("direct asks thrice") and world.fill() == "direct" else 1
        key.lasts = 0.9 if world.has("entries do not last") else 1.0
        span = (started_s, started_s + duration_s)
        drawn = _drawn(world, traffic, duration_s, seed, started_s)
        queries = key.queries
        if traffic.visits == (FOLLOW,):
            others = [HotKey("direct", *start, rank=rank) for rank in range(1, traffic.keys)]
            keys = [key, *others]
            answers = [keys[rank].follow(t_s, draw.randrange(2)) for t_s, rank in drawn]
            queries = sorted(
                (query for one in keys for query in one.queries), key=lambda query: query.due_s
            )
        else:
            down = [outage for outage in world.outages if outage.part == "redis"]
            careless = {"FALLBACK": "none", "CLICKS": "careless"}
            settings = careless if world.has("careful as careless") else world.settings
            begun = zip(drawn, visits_of(traffic, seed), strict=False)
            answers = visits(begun, traffic, span[1], down, settings)
            answers.sort(key=lambda answer: answer.intended_s)
            told = [*_cached(answers, self.ready[0].asked_s, traffic.keys)]
            answers = [one for one in told if isinstance(one, Answer)]
            queries = [one for one in told if isinstance(one, Query)]
        answers.sort(key=lambda answer: answer.intended_s)
        late = self._write(segment, answers)
        self._log(segment, queries)
        self._count(answers, queries, started_s, duration_s)
        arrived = sum(answer.begins for answer in answers)
        lag_ms = 30.0 if late else 0.2
        unsent = int(world.has("one unsent"))
        return Generator(len(answers), len(answers), late, unsent, 0.2, lag_ms, visits=arrived)

    def _write(self, segment: int, answers: Sequence[Answer]) -> int:
        """One line an answer; how many of them were sent late."""
        late, lag_s = 0, max((LATE_S.get(flaw, 0.0) for flaw in self.world.flaws), default=0.0)
        hot = [number for number, answer in enumerate(answers) if answer.rank == HOT_RANK]
        with self._gateway_log() as log:
            for number, answer in enumerate(answers):
                if self.world.has("requests fail") and number == hot[7]:
                    answer = replace(answer, outcome="fail", status=500)
                young = answer.served_from == "hit" and answer.age_ms < YOUNG_MS
                slow = lag_s > 0 and young and not number % 20
                late += slow
                row = self._row(segment, number, answer, lag_s if slow else 0.0)
                if not self.world.has("record truncated") or number != 5:
                    self.rows.writerow(row)
                if answer.operation == "follow":
                    code, sent_s = f"{segment}-code{answer.rank}", answer.intended_s + SENT_S
                    log.write(_answered(answer.status, sent_s, answer.done_s, code))
        self.shard.flush()
        return late

    def _row(self, segment: int, number: int, answer: Answer, lag_s: float) -> list[object]:
        """The columns of a request, which the primary is told of."""
        op_id, code = f"{segment}-{answer.op or number}", f"{segment}-code{answer.rank}"
        session = f"{segment}-{answer.visit or number}"
        click_id = op_id if answer.operation == "follow" and answer.outcome == "ok" else ""
        if click_id and not answer.click_lost:
            self.world.clicks.append((click_id, code))
        held = answer.applied(self.world.links.get(code))
        if held is not None:
            self.world.links[code] = held
        seen = held if held and answer.outcome == "ok" else Held(-1, "")
        return [
            *(segment, op_id, session, answer.operation, answer.attempt, answer.last),
            *(answer.rank, code, seen.version, seen.target),
            *(answer.intended_s, answer.intended_s + SENT_S + lag_s, answer.done_s + lag_s),
            *(answer.outcome, answer.status, answer.served_from),
            round(answer.age_ms + lag_s * 1000, 3),
            *(click_id, "", "", ""),
        ]

    def _log(self, segment: int, queries: Sequence[Query]) -> None:
        with (self.world.logs / "web-1.log").open("a", encoding="utf-8") as log:
            for query in queries:
                line = {
                    "event": "origin_query", "key": f"{segment}-code{query.rank}",
                    "db": "replica", "read_s": query.due_s + SENT_S, "asked_s": query.asked_s,
                    "answered_s": query.answered_s, "stored_s": query.stored_s,
                    "error": None,
                }  # fmt: skip
                log.write(json.dumps(line) + "\n")
            log.write("this line is no JSON\n")

    def _gateway_log(self) -> TextIO:
        return (self.world.logs / "nginx.log").open("a", encoding="utf-8")

    def _count(
        self, answers: Sequence[Answer], queries: Sequence[Query], from_s: float, span_s: float
    ) -> None:
        world = self.world
        world.answered += len(answers) + world.has("somebody else")
        commands = sorted([a.intended_s for a in answers] + [q.stored_s for q in queries] * 2)
        asked = sorted(query.stored_s for query in queries)
        clicks = sorted(a.done_s for a in answers if a.operation == "follow")
        for tick in range(int(span_s * 10)):
            t_s = from_s + tick / 10
            down = any(o.holds(t_s) for o in world.outages if o.part == "redis")
            done = bisect_left(commands, t_s)
            waiting = bisect_left(clicks, t_s) - bisect_left(clicks, t_s - 0.1)
            reading = {
                "replica.look_ups": float(world.look_ups + bisect_left(asked, t_s)),
                "primary.look_ups": 0.0,
                "web-1.clicks_waiting": 100.0 if down else float(waiting),
            }
            redis = {"redis.commands": world.redis_commands + done}
            world.samples.append((t_s, reading if down else reading | redis))
        world.look_ups += len(queries)
        world.redis_commands += len(commands)


def _answered(status: int, sent_s: float, done_s: float, code: str) -> str:
    """The time that the gateway logs for an answer, in milliseconds."""
    took_s = max(0.0, math.floor((done_s - sent_s) * 1000 - 0.1) / 1000)
    return f"answered {done_s:.3f} {took_s:.3f} {status} GET /{code} web-1\n"


class FakeObserver:
    def __init__(self, world: World, writer: RecordWriter) -> None:
        self.world = world
        self.writer = writer

    def counters(self) -> Counters:
        world = self.world
        for t_s, values in world.samples:
            self.writer.sample(t_s, values)
        world.samples.clear()
        missed = world.segments if world.has("Postgres miscounts") else 0
        counting = {part: part for part in COUNTING if part not in SERVERS} | {**world.roles.last}
        marks = {
            f"{name}.{INCARNATION}": world.incarnations[part] + 1000.0 * COUNTING.index(part)
            for name, part in counting.items()
        }
        return marks | {
            "web-1.requests": float(world.answered - world.answered // 2),
            "web-1.look_ups": float(world.look_ups),
            "web-2.requests": float(world.answered // 2),
            "web-2.look_ups": 0.0,
            "web-1.cache_failures": 0.0,
            "web-2.cache_failures": 0.0,
            **{
                f"web-{n}.writes_{done}": 0.0
                for n in (1, 2)
                for done in ("read_back", "sent_again")
            },
            "primary.look_ups": 0.0,
            "replica.look_ups": float(world.look_ups - missed),
            "primary.reads": 0.0,
            "primary.writes": 0.0,
            "replica.reads": 0.0,
            "replica.writes": 0.0,
            "redis.commands": world.redis_commands,
        }

    def in_force(self, settings: Settings) -> InForce:
        own = {name: v for name, v in self.world.settings.items() if ":" not in name}
        parts = {
            kind: {name: self.world.settings.get(name, "?") for name in settings if kind in name}
            for kind in ("postgres", "redis")
        }
        return InForce(
            settings={**dict.fromkeys(WEB, DEFAULTS | own), "worker": {}, **parts},
            roles={
                "primary.in_recovery": False, "replica.in_recovery": True, "replica.streams": True,
            },
            strange={"primary: SELECT value FROM another": 2.0},
        )  # fmt: skip

    def settled(self) -> bool:
        return not self.world.has("queue never drains")

    def fork(self, url: str) -> Iterable[tuple[str, str, int]]:
        return []

    def read_back(self) -> ReadBack:
        clicks, links = [*self.world.clicks], dict(self.world.links)
        if self.world.has("click lost"):
            clicks.pop()
        if self.world.has("click doubled"):
            clicks.append(clicks[0])
        if self.world.has("clicks of another segment"):
            place = clicks.index(("2-100", "2-code0"))
            clicks[place] = ("2-100", "3-code0")
        if self.world.has("link lost"):
            del links["2-code3"]
        if self.world.has("edit lost"):
            edited = [c for c, held in links.items() if held.version > 1 and not held.deleted]
            code = edited[-1]
            links[code] = replace(links[code], version=links[code].version - 1)
        totals = Counter(code for _, code in clicks)
        totals["1-code0"] += 3 * self.world.has("total wrong")
        rows = [(code, held.version, held.target, held.deleted) for code, held in links.items()]
        held = {"clicks": len(clicks), "links": len(rows), "totals": len(totals)}
        unread = 20 * self.world.has("read-back cut short")
        return ReadBack(clicks[: len(clicks) - unread], rows, totals, held)


def lab(world: World) -> Lab:
    """A lab whose every part is fake."""

    @contextmanager
    def load(_: Stack, directory: Path) -> Iterator[FakeLoad]:
        fake = FakeLoad(world, directory)
        try:
            yield fake
        finally:
            if world.has("line cut short"):
                fake.shard.seek(fake.shard.tell() - 30)
                fake.shard.truncate()
            fake.shard.close()

    @contextmanager
    def observe(_: Stack, writer: RecordWriter) -> Iterator[FakeObserver]:
        yield FakeObserver(world, writer)

    return Lab(FakeRuntime(world), load, observe, announcer, world.clock, Inline)


def doubt_of(experiment: Experiment) -> InDoubt:
    """Ask for further rounds as `linkstorm run` does."""
    return lambda record: arms_in_doubt(experiment, read_evidence(record))


def herd_order(
    world: World,
    *,
    full: bool = False,
    seed: int = 7,
    act: Act | None = None,
    fix: str | None = None,
) -> Order:
    """The thundering-herd experiment, with its act probing the fake; all fixes, or one."""
    experiment = load_experiment("thundering-herd")
    experiment = replace(experiment, timeline=[At(0.0, act or FakeSlow(world, 120))])
    return order_of(experiment, full=full, seed=seed, fix=fix)


def order_of(
    experiment: Experiment, *, full: bool = False, seed: int = 7, fix: str | None = None
) -> Order:
    """An order for all arms of an experiment, or for the naive one and one fix."""
    arms = [arm for arm in experiment.arms if fix is None or arm.naive or arm.name == fix]
    return Order(experiment, experiment.mode(full=full), arms, {}, seed, "linkstorm run …")
