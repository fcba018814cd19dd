"""Faults that were injected by hand, each with its undo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from typing import get_args

from chaos.acts.faults import LinkFaultKind, fault
from chaos.control.messages import RequestRefused
from chaos.model.stack import Stack, State, Undo

ON_LINKS = get_args(LinkFaultKind)


@dataclass(frozen=True)
class ActiveFault:
    """A fault in force: its name, its link or part, its start and its undo."""

    id: str
    name: str
    kind: str
    target: str
    since: str
    undo: Undo

    def has_the_same_target_as(self, kind: str, target: str) -> bool:
        """The same link or the same part: some links share their name with a part."""
        return self.target == target and (self.kind in ON_LINKS) == (kind in ON_LINKS)

    def is_visible_in(self, state: State) -> bool:
        """False once the stack shows that something else has healed it."""
        if self.kind == "kill":
            return state.parts[self.target] == "down"
        if self.kind == "pause":
            return state.parts[self.target] == "paused"
        if state.parts["toxiproxy"] != "up":  # the links cannot be read then
            return True
        link = state.links[self.target]
        return bool(link.toxics) if self.kind == "slow" else not link.open


class ActiveFaults:
    """Faults by id. Any thread may read them; the one that changes them holds the stack's lock."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._numbers = count(1)
        self._all: tuple[ActiveFault, ...] = ()

    def __iter__(self) -> Iterator[ActiveFault]:
        return iter(self._all)

    def __bool__(self) -> bool:
        return bool(self._all)

    def inject(self, kind: str, target: str, latency_ms: float | None) -> ActiveFault:
        """Inject one more fault.

        Raises:
            RequestRefused: there is no such fault, or its target has one already.
            StackError: the stack could not do it.
        """
        try:
            wanted = fault(kind, target, latency_ms)
        except ValueError as wrong:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(wrong)) from wrong
        own = target if kind in ON_LINKS else self._stack.part_of(target)
        for other in self:
            if other.has_the_same_target_as(kind, own):
                raise RequestRefused(HTTPStatus.CONFLICT, f"{other.name}: heal that first")
        if wanted.needs not in self._stack.can:
            raise RequestRefused(
                HTTPStatus.BAD_REQUEST, f"{wanted.name}: this stack cannot do that"
            )
        undo = wanted.inject(self._stack)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        new = ActiveFault(str(next(self._numbers)), wanted.name, kind, own, since, undo)
        self._all = (*self._all, new)
        return new

    def heal(self, fault_id: str) -> None:
        """Undo one.

        Raises:
            RequestRefused: there is none of that id.
            StackError: the stack could not undo it.
        """
        for each in self:
            if each.id == fault_id:
                each.undo()
                self._all = tuple(other for other in self if other is not each)
                return
        raise RequestRefused(HTTPStatus.NOT_FOUND, "that fault is not in force any more")

    def heal_all(self) -> None:
        """Heal the whole stack, whatever broke it."""
        self._stack.heal()
        self.clear()

    def clear(self) -> None:
        """Drop the list: a run heals the stack now."""
        self._all = ()

    def drop_invisible(self, state: State) -> None:
        """Drop those that the stack no longer shows."""
        self._all = tuple(each for each in self if each.is_visible_in(state))
