"""The dispatcher of visits: what follows from an answer is due beside the arrivals."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from time import monotonic

from scenarios.generator.http_client import HttpClient, OutOfSockets
from scenarios.generator.open_loop import Exchange, Observers, OpenLoop
from scenarios.generator.visits import Call, Visits


class VisitDispatcher(OpenLoop[Call]):
    """Sends the steps of visits, each operation as often as its retries allow.

    A try is told to the observers once it is known whether another one left after it. Whatever
    would be due after the end of the segment is not: its visit ends before it.
    """

    def __init__(
        self,
        client: HttpClient,
        visits: Visits,
        timeout_s: float,
        max_in_flight: int,
        observers: Observers,
    ) -> None:
        super().__init__(client, timeout_s, max_in_flight, observers)
        self._visits = visits
        self._waiting: list[tuple[float, int, Call]] = []  # a heap
        self._order = count()

    def _next_due_s(self) -> float | None:
        due_s = min(self._arrives_s(), self._waits_s())
        if due_s < inf:
            return due_s
        return self._ends_s if monotonic() < self._ends_s < inf else None

    def _arrives_s(self) -> float:
        return self._next[0] if self._next is not None else inf

    def _waits_s(self) -> float:
        return self._waiting[0][0] if self._waiting else inf

    def _take(self) -> Call | None:
        counts = self.counts
        while (now_s := monotonic()) >= min(self._arrives_s(), self._waits_s()):
            counts.offered += 1
            call = self._due()
            if call is None:
                counts.note_skipped()
            elif counts.in_flight < self._max_in_flight and (
                now_s - call.intended_s <= self._timeout_s
            ):
                counts.in_flight += 1
                return call
            else:
                counts.note_skipped()
                self._give_up(call)
        return None

    def _due(self) -> Call | None:
        """The earliest call; `None` if it is a visit's that cannot begin."""
        if self._next is None or self._waits_s() < self._next[0]:
            return heappop(self._waiting)[-1]
        intended_s, rank = self._next
        self._next = next(self._arrivals, None)
        self.counts.visits += 1
        return self._visits.begin(self.counts.visits, intended_s, rank)

    def _send(self, due: Call) -> None:
        sent_s = monotonic()
        self.counts.note_sent(sent_s - due.intended_s)
        try:
            answer = self._client.exchange(due.request, self._timeout_s)
        except OutOfSockets:
            self.counts.no_socket += 1
            self._give_up(due)
            return
        self.counts.note_read(monotonic() - answer.done_s)
        if due.before is not None:
            self._tell(due.before._replace(last=False))
        self._go_on(
            due,
            Exchange(
                session=due.session.number,
                rank=due.session.rank,
                intended_s=due.intended_s,
                sent_s=sent_s,
                done_s=answer.done_s,
                answer=answer,
                operation=due.operation,
                step=due.step,
                attempt=due.attempt,
                own_key=due.session.key if due.session.visit.own_link else "",
                written=due.written,
            ),
        )

    def _go_on(self, call: Call, exchange: Exchange) -> None:
        """Let the next try or the next step wait for its time, or end the visit."""
        following = self._visits.again(call, exchange)
        if following is None or following.intended_s > self._ends_s:
            self._tell(exchange)
            following = self._visits.onward(call, exchange)
        if following is None or following.intended_s > self._ends_s:
            self._visits.end(call.session)
            return
        heappush(self._waiting, (following.intended_s, next(self._order), following))
        self._timer.hurry(following.intended_s)

    def _give_up(self, call: Call) -> None:
        """End the visit of a call that cannot leave."""
        if call.before is not None:
            self._tell(call.before)
        self._visits.end(call.session)

    def _tell(self, exchange: Exchange) -> None:
        for observe in self._observers:
            observe(exchange)

    def _stop(self) -> None:
        super()._stop()
        self._ends_s = -inf
        while self._waiting:
            self._give_up(self._waiting.pop()[-1])
