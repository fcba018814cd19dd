"""Figures of a segment that several measures are made from, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import finalize

from chaos.model.evidence import Segment

T = TypeVar("T")


def remembered(work_out: Callable[[Segment], T]) -> Callable[[Segment], T]:
    """Keep what a function gave for a segment, for as long as that segment exists."""
    known: dict[int, T] = {}  # a segment has no hash: its columns are arrays

    @wraps(work_out)
    def once(segment: Segment) -> T:
        if id(segment) not in known:
            known[id(segment)] = work_out(segment)
            finalize(segment, known.pop, id(segment))
        return known[id(segment)]

    return once
