"""The visits of one segment: what each sends first, and what it sends after an answer.

No I/O and no clock: times come with the answers, and the dispatcher sends what is due.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import NamedTuple

from chaos.model.arrivals import jitters, visits
from chaos.model.traffic import FOLLOW, Operation, Traffic, Visit
from scenarios.generator import link_requests
from scenarios.generator.http_client import HttpClient
from scenarios.generator.open_loop import Exchange
from scenarios.generator.retrying import RetryPolicy

_READ_TOKEN = link_requests.READ_TOKEN.lower().encode()


def is_plain(traffic: Traffic) -> bool:
    """True if every arrival sends a single request that follows a shared link."""
    steps = [visit.steps for visit in traffic.visits]
    return steps == [FOLLOW.steps] and traffic.retries.tries == 1


class Session(NamedTuple):
    """A visit under way."""

    number: int
    visit: Visit
    rank: int
    key: str
    is_writer: bool = False  # of a shared link
    token: str = ""  # of its last write, for its reads


class Call(NamedTuple):
    """One try of one step, due at `intended_s`; `before` is the try before it, with its answer."""

    intended_s: float
    session: Session
    step: int
    request: bytes
    written: str = ""
    attempt: int = 1
    before: Exchange | None = None

    @property
    def operation(self) -> Operation:
        """What the step does."""
        return self.session.visit.steps[self.step - 1].operation


class Writers:
    """The shared links that visits of this process are writing: one visit a link at a time.

    Of several processes, each writes links of its own.
    """

    def __init__(self, keys: int, stream: int, streams: int) -> None:
        self._own = range(stream, keys, streams)
        self._written: set[int] = set()

    def claim(self, rank: int) -> int | None:
        """The first free link from this rank on, and around; `None` if all are being written."""
        first = -(-(rank - self._own.start) // self._own.step)
        for free in chain(self._own[first:], self._own[:first]):
            if free not in self._written:
                self._written.add(free)
                return free
        return None

    def release(self, rank: int) -> None:
        """Free a link that was claimed."""
        self._written.remove(rank)


class Visits:
    """Starts visits and leads them on; `codes` are the shared links by rank."""

    def __init__(
        self,
        client: HttpClient,
        traffic: Traffic,
        codes: Sequence[str],
        seed: int,
        *,
        stream: int = 0,
        streams: int = 1,
    ) -> None:
        self._client = client
        self._keys = traffic.keys
        self._codes = codes
        self._stream, self._streams = stream, streams
        self._drawn = visits(traffic, seed, stream=stream)
        self._retries = RetryPolicy(traffic.retries, jitters(seed, stream=stream))
        self._writers = Writers(traffic.keys, stream, streams)
        self._alias = f"v{secrets.token_hex(6)}-"  # no reserved word of the API begins with a v
        self._numbers: Iterator[int] = count(1)

    def begin(self, number: int, intended_s: float, rank: int) -> Call | None:
        """The first call of a visit that arrives; `None` if it finds no link that it may write."""
        visit = next(self._drawn)
        if visit.own_link:
            own = self._keys + (number - 1) * self._streams + self._stream
            session = Session(number, visit, own, f"{self._alias}{number}")
        elif visit.writes:
            free = self._writers.claim(rank)
            if free is None:
                return None
            session = Session(number, visit, free, self._codes[free], is_writer=True)
        else:
            session = Session(number, visit, rank, self._codes[rank])
        return self._call(intended_s, session, 1)

    def again(self, call: Call, exchange: Exchange) -> Call | None:
        """The next try of the same step, if its answer was no good and the retries allow it."""
        pause_s = self._retries.pause_s(call.attempt, exchange.answer)
        if pause_s is None:
            return None
        intended_s = exchange.done_s + pause_s
        return call._replace(intended_s=intended_s, attempt=call.attempt + 1, before=exchange)

    def onward(self, call: Call, exchange: Exchange) -> Call | None:
        """The next step, if there is one and this one leaves the visit anything to do."""
        steps = call.session.visit.steps
        if call.step == len(steps) or not _goes_on(exchange):
            return None
        token = exchange.answer.headers.get(_READ_TOKEN, b"").decode("latin-1")
        session = call.session._replace(token=token or call.session.token)
        return self._call(exchange.done_s + steps[call.step].after_s, session, call.step + 1)

    def end(self, session: Session) -> None:
        """Let others write the link."""
        if session.is_writer:
            self._writers.release(session.rank)

    def _call(self, intended_s: float, session: Session, step: int) -> Call:
        operation = session.visit.steps[step - 1].operation
        key, client = session.key, self._client
        written = ""
        if operation == "create":
            written = link_requests.target(key, 0)
            request = link_requests.create_own(client, key, written)
        elif operation == "edit":
            written = link_requests.target(key, next(self._numbers))
            request = link_requests.edit(client, key, written)
        elif operation == "delete":
            request = link_requests.delete(client, key)
        elif operation == "stats":
            request = link_requests.stats(client, key)
        else:
            request = link_requests.follow(client, key, session.token)
        return Call(intended_s, session, step, request, written)


def _goes_on(exchange: Exchange) -> bool:
    """True after a success, and after a link that a follower did not find."""
    outcome = exchange.answer.outcome
    return outcome == "ok" or (outcome == "absent" and exchange.operation == "follow")
