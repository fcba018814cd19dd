"""What is worked out of a segment once is that segment's, and goes with it."""

from __future__ import annotations

import weakref

from chaos.measures.remembered import remembered
from chaos.model.evidence import Segment
from tests.support.segments import followed, segment_of


def test_each_segment_is_worked_out_once() -> None:
    asked: list[float] = []

    @remembered
    def due(segment: Segment) -> int:
        asked.append(segment.started_s)
        return len(segment.requests)

    one = segment_of(10, 11, requests=followed([10.5]))
    other = segment_of(20, 21, requests=followed([]))
    assert [due(one), due(other), due(one)] == [1, 0, 1]
    assert asked == [10, 20]


def test_nothing_is_remembered_beyond_its_segment() -> None:
    asked: list[int] = []

    @remembered
    def due(segment: Segment) -> int:
        asked.append(len(segment.requests))
        return asked[-1]

    for count in range(20):  # the address of one that is gone is often that of the next one
        segment = segment_of(10, 11, requests=followed([10.5] * count))
        gone = weakref.ref(segment)
        assert due(segment) == count
        del segment
        assert gone() is None
    assert len(asked) == 20
