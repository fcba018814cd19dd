"""The dispatcher of plain traffic: every arrival follows one link, once."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from scenarios.generator.http_client import HttpClient, OutOfSockets
from scenarios.generator.open_loop import Exchange, Observers, OpenLoop

Arrival = tuple[int, float, int]  # number, intended_s, rank


class Dispatcher(OpenLoop[Arrival]):
    """Sends the request of each arrival: nothing else can be due, which keeps this path short."""

    def __init__(
        self,
        client: HttpClient,
        requests: Sequence[bytes],
        timeout_s: float,
        max_in_flight: int,
        observers: Observers,
    ) -> None:
        super().__init__(client, timeout_s, max_in_flight, observers)
        self._requests = requests

    def _next_due_s(self) -> float | None:
        return self._next[0] if self._next is not None else None

    def _take(self) -> Arrival | None:
        counts = self.counts
        while self._next is not None and (late_s := monotonic() - self._next[0]) >= 0:
            intended_s, rank = self._next
            self._next = next(self._arrivals, None)
            counts.visits += 1
            counts.offered += 1
            if counts.in_flight < self._max_in_flight and late_s <= self._timeout_s:
                counts.in_flight += 1
                return counts.visits, intended_s, rank
            counts.note_skipped()
        return None

    def _send(self, due: Arrival) -> None:
        number, intended_s, rank = due
        sent_s = monotonic()
        self.counts.note_sent(sent_s - intended_s)
        try:
            answer = self._client.exchange(self._requests[rank], self._timeout_s)
        except OutOfSockets:
            self.counts.no_socket += 1
            return
        self.counts.note_read(monotonic() - answer.done_s)
        exchange = Exchange(number, rank, intended_s, sent_s, answer.done_s, answer)
        for observe in self._observers:
            observe(exchange)
