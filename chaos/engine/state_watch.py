"""Watch of a segment: which toxics and cuts are on each link and how each part is, with times."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from contextlib import suppress

from chaos.model.evidence import CLOSED, ELSEWHERE, StateReading
from chaos.model.lab import Clock
from chaos.model.stack import LinkState, Stack
from chaos.runtimes.topology import led_by

PERIOD_S = 0.25


class StateWatch:
    """Reads the state of the stack several times a second, on a thread that may hang.

    It asks the runtime and Toxiproxy, not the acts. A reading that fails is a gap.
    """

    def __init__(self, stack: Stack, clock: Clock, threads: Executor) -> None:
        self._stack, self._clock, self._threads = stack, clock, threads
        self._under_way: Future[None] | None = None
        self._due_s = clock.now_s()
        self.readings: list[StateReading] = []

    def tick(self) -> None:
        """Begin a reading if one is due and the last one is done."""
        now_s = self._clock.now_s()
        if now_s >= self._due_s and (self._under_way is None or self._under_way.done()):
            self._due_s = now_s + PERIOD_S
            self._under_way = self._threads.submit(self._read)

    def now(self) -> None:
        """Take a reading, after the one under way."""
        if self._under_way is not None:
            self._under_way.result()
        self._read()

    def _read(self) -> None:
        with suppress(Exception):
            from_s = self._clock.now_s()
            state = self._stack.state()
            known = state.parts["toxiproxy"] == "up"
            leads = dict[str, str](led_by(self._stack.roles).items())
            links = {
                name: _told(link, leads.get(name, link.to))
                for name, link in state.links.items()
                if known
            }
            self.readings.append(
                StateReading(from_s, self._clock.now_s(), dict(state.parts), links)
            )


def _told(link: LinkState, leads: str) -> list[str]:
    return [*link.toxics, *[CLOSED] * (not link.open), *[ELSEWHERE] * (link.to != leads)]
