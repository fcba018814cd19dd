"""Visits: what each arrival does, step by step in one session, with the tries of its client.

Visits are open: each begins when it is due, whatever the others do. Within a visit a step is due
some time after the answer to the one before, and a further try after a pause. Each try is a request
on record, with a latency of its own that counts from when it was due.
"""

from __future__ import annotations

import json
import secrets
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from time import monotonic

import gevent  # type: ignore[import-untyped]

from chaos.model.traffic import FOLLOW, Operation, Retries, Traffic, Visit
from scenarios.generator.dispatcher import Dispatcher, Exchange
from scenarios.generator.http_client import HttpClient, OutOfSockets, Response

READ_TOKEN = "X-Read-Token"
RETRY_BURST = 10  # retries beyond the budget's share, for the first failures of a segment
TOO_MANY_REQUESTS = 429
WRITES = frozenset({"edit", "delete"})
RUN = secrets.token_hex(4)  # makes aliases unique across processes and runs


def is_plain(traffic: Traffic) -> bool:
    """True if every arrival is one request that follows a link."""
    return traffic.visits == (FOLLOW,) and traffic.retries.tries == 1


@dataclass
class Session:
    """One visit in progress: its link, and what the client remembers of it."""

    number: int
    rank: int
    key: str
    edits: int = 0  # so far, of its link
    token: str = ""  # of its last write, to be sent with reads


class WrittenLinks:
    """Shared links by rank: how often each was edited, and which are being written or are gone."""

    def __init__(self, keys: int, stream: int, streams: int) -> None:
        self.edits: dict[int, int] = {}
        self._keys, self._stream, self._streams = keys, stream, streams
        self._taken: set[int] = set()

    def take(self, rank: int) -> int | None:
        """The first link from this rank on that nobody writes, and that is this stream's."""
        for offset in range(self._keys):
            candidate = (rank + offset) % self._keys
            if candidate % self._streams == self._stream and candidate not in self._taken:
                self._taken.add(candidate)
                return candidate
        return None

    def give_back(self, rank: int) -> None:
        """Let others write a link; a deleted one stays taken."""
        self._taken.discard(rank)


@dataclass
class RetryPolicy:
    """Decides whether a client tries again, and when."""

    retries: Retries
    random: Random
    first_tries: int = 0
    made: int = 0

    def wants_another(self, answer: Response, attempt: int) -> bool:
        """True if the answer is no good, and tries and budget are left; spends the budget."""
        final = answer.outcome in ("ok", "absent") or 400 <= answer.status < 500
        if (final and answer.status != TOO_MANY_REQUESTS) or attempt >= self.retries.tries:
            return False
        allowed = self.retries.budget * self.first_tries + RETRY_BURST
        if self.retries.budget < 1 and self.made >= allowed:
            return False
        self.made += 1
        return True

    def pause_s(self, attempt: int) -> float:
        """The pause after a failed attempt: doubling, with full jitter."""
        return self.random.uniform(0.0, self.retries.pause_s * 2.0 ** (attempt - 1))


@dataclass(frozen=True)
class VisitPlan:
    """The visits of a segment: what, with which weights, to which links."""

    traffic: Traffic
    codes: Sequence[str]
    segment: int
    seed: int
    stream: int = 0
    streams: int = 1
    weights: Sequence[float] = field(init=False)

    def __post_init__(self) -> None:
        weights = [*accumulate(visit.weight for visit in self.traffic.visits)]
        object.__setattr__(self, "weights", weights)

    def draw(self, random: Random) -> Visit:
        """The next visit."""
        place = bisect_right(self.weights, random.random() * self.weights[-1])
        return self.traffic.visits[min(place, len(self.traffic.visits) - 1)]


class VisitDispatcher(Dispatcher):
    """Starts a visit at each arrival, and takes it to its end."""

    def __init__(
        self,
        client: HttpClient,
        plan: VisitPlan,
        max_in_flight: int,
        observers: Sequence[Callable[[Exchange], None]],
    ) -> None:
        super().__init__(client, [], plan.traffic.timeout_s, max_in_flight, observers)
        self._plan = plan
        random = Random(f"{plan.seed}/{plan.stream}")
        self._random = random
        self._policy = RetryPolicy(plan.traffic.retries, random)
        self._written = WrittenLinks(plan.traffic.keys, plan.stream, plan.streams)
        self._operations = 0

    def _send(self, number: int, intended_s: float, rank: int) -> None:
        visit = self._plan.draw(self._random)
        with self._session(visit, number, rank) as session:
            if session is None:  # every link is being written
                self.counts.note_skipped()
                return
            due_s = intended_s
            for place, step in enumerate(visit.steps):
                if place:
                    due_s = self._wait(due_s + step.after_s)
                exchange = self._operate(session, step.operation, due_s)
                if exchange is None or exchange.answer.outcome not in ("ok", "absent"):
                    return
                due_s = exchange.done_s

    def _wait(self, due_s: float) -> float:
        """Wait until a further request is due, and count it."""
        gevent.sleep(max(0.0, due_s - monotonic()))
        self.counts.offered += 1
        return due_s

    @contextmanager
    def _session(self, visit: Visit, number: int, rank: int) -> Iterator[Session | None]:
        plan = self._plan
        writes = {step.operation for step in visit.steps} & WRITES
        if visit.own_link:
            own = plan.traffic.keys + number * plan.streams + plan.stream
            yield Session(number, own, f"{RUN}-{plan.segment}-{plan.stream}-{number}")
        elif not writes:
            yield Session(number, rank, plan.codes[rank])
        elif (taken := self._written.take(rank)) is None:
            yield None
        else:
            session = Session(
                number, taken, plan.codes[taken], edits=self._written.edits.get(taken, 0)
            )
            yield session
            self._written.edits[taken] = session.edits
            if "delete" not in writes:
                self._written.give_back(taken)

    def _operate(self, session: Session, operation: Operation, due_s: float) -> Exchange | None:
        """Send one operation, again and again if the client retries; `None` if it cannot leave."""
        self._operations += 1
        number, target = self._operations, ""
        if operation in ("create", "edit"):
            session.edits += 1
            target = f"https://example.com/page/{session.key}/{session.edits}"
        request = self._request(session, operation, target, number)
        self._policy.first_tries += 1
        attempt = 0
        while True:
            attempt += 1
            sent_s = monotonic()
            self.counts.note_sent(sent_s - due_s)
            try:
                answer = self._client.exchange(request, self._timeout_s)
            except OutOfSockets:
                self.counts.no_socket += 1
                return None
            self.counts.note_read(monotonic() - answer.done_s)
            again = self._policy.wants_another(answer, attempt)
            exchange = Exchange(
                number, session.rank, due_s, sent_s, answer.done_s, answer,
                operation, session.number, attempt, not again, session.key, target,
            )  # fmt: skip
            for observe in self._observers:
                observe(exchange)
            if not again:
                break
            due_s = self._wait(answer.done_s + self._policy.pause_s(attempt))
        token = answer.headers.get(READ_TOKEN.lower().encode())
        session.token = token.decode("latin-1") if token else session.token
        return exchange

    def _request(self, session: Session, operation: Operation, target: str, number: int) -> bytes:
        build, link = self._client.request, f"/api/links/{session.key}"
        match operation:
            case "follow":
                token = {READ_TOKEN: session.token} if session.token else {}
                return build("GET", f"/{session.key}", headers=token)
            case "create":
                plan = self._plan
                once = {"Idempotency-Key": f"{RUN}-{plan.segment}-{plan.stream}-{number}"}
                body = json.dumps({"url": target, "alias": session.key})
                return build("POST", "/api/links", body, headers=once)
            case "edit":
                return build("PATCH", link, json.dumps({"url": target}))
            case "delete":
                return build("DELETE", link)
            case "stats":
                return build("GET", f"{link}/stats")


def version_of(exchange: Exchange) -> str:
    """The version that an answer names: of the link seen, or of the one written; -1 without."""
    headers: Mapping[bytes, bytes] = exchange.answer.headers
    if exchange.operation == "follow":
        return headers.get(b"x-link-version", b"-1").decode("latin-1")
    if exchange.operation in ("create", "edit"):
        return headers.get(b"etag", b"-1").strip(b'"').decode("latin-1")
    return "-1"
