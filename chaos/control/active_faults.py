"""The faults that were put into the stack by hand, and what takes each of them out again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from typing import get_args

from chaos.acts.faults import LinkFaultKind, fault
from chaos.control.refusal import RequestRefused
from chaos.model.stack import Stack, State, Undo

ON_LINKS = get_args(LinkFaultKind)


@dataclass(frozen=True)
class ActiveFault:
    """One fault: what it is called, since when it is there, and what undoes it."""

    id: str
    name: str
    kind: str
    target: str
    since: str
    undo: Undo

    def hits_the_same_as(self, kind: str, target: str) -> bool:
        """Some links are called like the part they lead to."""
        return self.target == target and (self.kind in ON_LINKS) == (kind in ON_LINKS)

    def shows_in(self, state: State) -> bool:
        """Whether the stack looks as if it were still there; somebody else may have healed it."""
        if self.kind == "kill":
            return state.parts[self.target] == "down"
        if self.kind == "pause":
            return state.parts[self.target] == "paused"
        if state.parts["toxiproxy"] != "up":  # which alone knows its links
            return True
        link = state.links[self.target]
        return bool(link.toxics) if self.kind == "slow" else not link.open


class ActiveFaults:
    """Faults by id. Whoever changes them holds the stack meanwhile; anybody may read them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._numbers = count(1)
        self._all: tuple[ActiveFault, ...] = ()

    def __iter__(self) -> Iterator[ActiveFault]:
        return iter(self._all)

    def __bool__(self) -> bool:
        return bool(self._all)

    def inject(self, kind: str, target: str, latency_ms: float | None) -> ActiveFault:
        """Put one more fault into the stack.

        Raises:
            Refused: there is no such fault, or its target has one already.
            StackError: the stack could not do it.
        """
        for other in self:
            if other.hits_the_same_as(kind, target):
                raise RequestRefused(HTTPStatus.CONFLICT, f"{other.name}: heal that first")
        try:
            asked = fault(kind, target, latency_ms)
        except ValueError as wrong:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(wrong)) from wrong
        if asked.needs not in self._stack.can:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, f"{asked.name}: this stack cannot do that")
        undo = asked.inject(self._stack)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        new = ActiveFault(str(next(self._numbers)), asked.name, kind, target, since, undo)
        self._all = (*self._all, new)
        return new

    def heal(self, fault_id: str) -> None:
        """Take one out.

        Raises:
            Refused: there is none of that id.
            StackError: the stack could not undo it.
        """
        for each in self:
            if each.id == fault_id:
                each.undo()
                self._all = tuple(other for other in self if other is not each)
                return
        raise RequestRefused(HTTPStatus.NOT_FOUND, "that fault is not in force any more")

    def heal_all(self) -> None:
        """Take out everything, whoever put it there."""
        self._stack.heal()
        self.forget_all()

    def forget_all(self) -> None:
        """Drop the record: somebody else heals the stack now."""
        self._all = ()

    def forget_those_gone(self, state: State) -> None:
        """Drop those that the stack does not show any more."""
        self._all = tuple(each for each in self if each.shows_in(state))
